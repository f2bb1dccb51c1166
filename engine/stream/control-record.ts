/** The records of the RAM section that are not pages: the list of RAM blocks, and the end of a section. */
import type { SectionKind } from './handler.ts';
import { incomplete, type ItemStop, stoppedBy } from './item-stop.ts';
import { malformed, obstacleInRecord } from './obstacles.ts';
import { ramFlag, sectionTailBytes, sectionType, shortHeaderBytes } from './records.ts';

export type ControlRecord =
  | ItemStop
  /** RAM blocks of so many bytes together are listed from `next` on. */
  | { readonly is: 'memory-size'; readonly totalBytes: number; readonly next: number }
  /** The section ends; the next one starts at `next`. */
  | { readonly is: 'section-end'; readonly next: number };

export interface RamSection {
  readonly kind: SectionKind;
  readonly id: number | undefined;
  /** The RAM blocks are known. */
  readonly hasBlocks: boolean;
}

/** Reads the record that starts at `at`, whose header is whole and has these flags. */
export function readControlRecord(
  buffer: Buffer,
  at: number,
  end: number,
  flags: number,
  { kind, id, hasBlocks }: RamSection,
): ControlRecord {
  switch (flags & ~ramFlag.sameBlock) {
    case ramFlag.endOfSection: {
      // QEMU flushes after the end-of-section record but keeps the footer in its buffer. Handing the record on only
      // together with its footer keeps the place between the two from looking like one where pages may go.
      if (end - at < sectionTailBytes) return incomplete(sectionTailBytes);
      const footer = at + shortHeaderBytes;
      if (buffer.readUInt8(footer) !== sectionType.footer || buffer.readUInt32BE(footer + 1) !== id) {
        return stoppedBy(malformed('the RAM section has no footer'));
      }
      if (kind === 'start' && !hasBlocks) {
        return stoppedBy(malformed('the RAM section starts without its blocks'));
      }
      return { is: 'section-end', next: at + sectionTailBytes };
    }
    case ramFlag.memorySize: {
      if (kind !== 'start' || hasBlocks) return stoppedBy(malformed('RAM blocks are announced again'));
      const totalBytes = buffer.readUInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4) - flags;
      return { is: 'memory-size', totalBytes, next: at + shortHeaderBytes };
    }
    default:
      return stoppedBy(obstacleInRecord(flags));
  }
}
