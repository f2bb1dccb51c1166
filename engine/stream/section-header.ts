/** What may start between two sections: a part of RAM's or of the dirty bitmaps' section, or a command (migration/savevm.c). */
import type { SectionKind } from './handler.ts';
import {
  incomplete,
  type ItemStop,
  obstacleInCommand,
  type PostcopyReading,
  stoppedBy,
} from './obstacles.ts';
import {
  bitmapSectionName,
  bitmapSectionVersion,
  ramSectionName,
  ramSectionVersion,
  sectionType,
} from './records.ts';

/** Ids of the sections that have started. */
interface StartedSections {
  readonly ram: number | undefined;
  readonly bitmaps: number | undefined;
}

type SectionHeader =
  | ItemStop
  /** A part of the RAM section; its records start at `next`. */
  | { readonly is: 'ram'; readonly kind: SectionKind; readonly sectionId: number; readonly next: number }
  /** A part of the section of dirty bitmaps; its items start at `next`. */
  | { readonly is: 'bitmaps'; readonly sectionId: number; readonly next: number }
  /** A command; its data starts at `next`. */
  | {
      readonly is: 'command';
      readonly command: number;
      readonly lengthBytes: number;
      readonly next: number;
    };

/**
 * Reads the header that starts at `at`, which is before `end`.
 *
 * @param postcopy what is done with a stream that may become post-copy
 */
export function readSectionHeader(
  buffer: Buffer,
  at: number,
  end: number,
  started: StartedSections,
  postcopy: PostcopyReading,
): SectionHeader {
  const type = buffer.readUInt8(at);
  switch (type) {
    case sectionType.start:
    case sectionType.full:
      return readStart(type, buffer, at, end, started);
    case sectionType.part:
    case sectionType.end: {
      if (end - at < 5) return incomplete(5);
      const sectionId = buffer.readUInt32BE(at + 1);
      if (sectionId === started.bitmaps) return { is: 'bitmaps', sectionId, next: at + 5 };
      if (sectionId !== started.ram) return unknownSection(`section ${sectionId} was not started`);
      return { is: 'ram', kind: type === sectionType.part ? 'part' : 'end', sectionId, next: at + 5 };
    }
    case sectionType.command: {
      if (end - at < 5) return incomplete(5);
      const command = buffer.readUInt16BE(at + 1);
      const lengthBytes = buffer.readUInt16BE(at + 3);
      const obstacle = obstacleInCommand(command, lengthBytes, postcopy);
      if (obstacle !== undefined) return stoppedBy(obstacle);
      return { is: 'command', command, lengthBytes, next: at + 5 };
    }
    default:
      return unknownSection(`a section of type 0x${type.toString(16)}`);
  }
}

/** A section that starts: RAM's, the dirty bitmaps', or a device's, which comes too early. */
function readStart(
  type: number,
  buffer: Buffer,
  at: number,
  end: number,
  started: StartedSections,
): SectionHeader {
  if (end - at < 6) return incomplete(6);
  const nameBytes = buffer.readUInt8(at + 5);
  const headerBytes = 6 + nameBytes + 8;
  if (end - at < headerBytes) return incomplete(headerBytes);
  const name = buffer.toString('latin1', at + 6, at + 6 + nameBytes);
  const version = buffer.readUInt32BE(at + headerBytes - 4);
  if (type === sectionType.full) {
    const detail = `device "${name}" is saved before RAM is complete`;
    return stoppedBy({ reason: 'early-device-state', detail });
  }
  const sectionId = buffer.readUInt32BE(at + 1);
  const next = at + headerBytes;
  if (name === ramSectionName && version === ramSectionVersion && started.ram === undefined)
    return { is: 'ram', kind: 'start', sectionId, next };
  if (name === bitmapSectionName && version === bitmapSectionVersion && started.bitmaps === undefined)
    return { is: 'bitmaps', sectionId, next };
  return unknownSection(`section "${name}" of version ${version}`);
}

function unknownSection(detail: string): ItemStop {
  return stoppedBy({ reason: 'unknown-section', detail });
}
