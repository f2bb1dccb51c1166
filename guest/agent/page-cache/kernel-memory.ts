/** The kernel's memory as /proc/kcore shows it: an ELF file with a segment for each stretch of its address space. */
import { closeSync, openSync, readSync } from 'node:fs';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import { pageSizeBytes } from '../../../engine/list/page-list.ts';

interface Segment {
  readonly start: bigint;
  /** First address after it. */
  readonly end: bigint;
  readonly fileOffset: bigint;
  /** Of memory that lies at a fixed distance from its physical place. */
  readonly physical: bigint | undefined;
}

/** A stretch of the array of `struct page`, one for each page frame. */
export interface FrameDescriptions {
  readonly firstFrame: number;
  readonly endFrame: number;
  readonly address: bigint;
}

const headerBytes = 64;
const segmentBytes = 56;
const loadSegment = 1;
/** Lies in the file where a segment is not at a physical place. */
const noPhysical = 0xffff_ffff_ffff_ffffn;
/** x86: the kernel's text from here on is mapped a second time. */
const textStart = 0xffff_ffff_8000_0000n;

export class KernelMemory {
  readonly #descriptor: number;
  readonly #segments: readonly Segment[];

  /** @throws GuestError 'not-permitted' where the kernel shows none of it */
  constructor(path = '/proc/kcore') {
    try {
      this.#descriptor = openSync(path, 'r');
    } catch (cause) {
      if (systemErrorCode(cause) === undefined) throw cause;
      const why =
        'the kernel was built without it, is locked down (confidentiality), or the agent lacks CAP_SYS_RAWIO';
      throw new GuestError('not-permitted', `${path} cannot be read: ${why}`, cause);
    }
    this.#segments = this.#readSegments();
  }

  /** Reads from an address on until `into` is full. Gives the bytes read, 0 where nothing is mapped. */
  read(address: bigint, into: Uint8Array): number {
    const segment = this.#segments.find(({ start, end }) => start <= address && address < end);
    if (segment === undefined) return 0;
    const wanted = Math.min(into.length, Number(segment.end - address));
    let done = 0;
    while (done < wanted) {
      const position = segment.fileOffset + (address - segment.start) + BigInt(done);
      const bytes = this.#readAt(into, done, wanted - done, position);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  /**
   * Where the kernel keeps its `struct page`s: one array, of which a segment without a physical place begins with the first
   * stretch of memory and is as long (fs/proc/kcore.c, get_sparsemem_vmemmap_info).
   *
   * @param descriptionBytes size of a struct page
   * @throws GuestError 'unknown-layout'
   */
  frameDescriptions(descriptionBytes: number): readonly FrameDescriptions[] {
    const memory = this.#segments
      .flatMap(({ start, end, physical }) =>
        physical === undefined || start >= textStart
          ? []
          : { firstFrame: Number(physical) / pageSizeBytes, bytes: Number(end - start) },
      )
      .map(({ firstFrame, bytes }) => ({
        firstFrame,
        endFrame: firstFrame + Math.floor(bytes / pageSizeBytes),
      }))
      .sort((a, b) => a.firstFrame - b.firstFrame);
    const [first] = memory;
    if (first === undefined) throw new GuestError('unknown-layout', '/proc/kcore shows no memory');
    const firstBytes = (first.endFrame - first.firstFrame) * descriptionBytes;
    const described = this.#segments.find(({ start, end, physical }) => {
      const excessBytes = Number(end - start) - firstBytes;
      return physical === undefined && excessBytes >= 0 && excessBytes < 2 * pageSizeBytes;
    });
    if (described === undefined)
      throw new GuestError(
        'unknown-layout',
        '/proc/kcore does not show how the kernel describes page frames',
      );
    // It begins with a whole page.
    const skippedBytes = Math.floor((first.firstFrame * descriptionBytes) / pageSizeBytes) * pageSizeBytes;
    const base = described.start - BigInt(skippedBytes);
    return memory.map((stretch) => ({
      ...stretch,
      address: base + BigInt(stretch.firstFrame * descriptionBytes),
    }));
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #readAt(into: Uint8Array, offset: number, length: number, position: bigint): number {
    try {
      return readSync(this.#descriptor, into, offset, length, position);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      return 0;
    }
  }

  #readSegments(): readonly Segment[] {
    const header = Buffer.alloc(headerBytes);
    if (this.#readAt(header, 0, headerBytes, 0n) < headerBytes || header.readUInt32BE(0) !== 0x7f454c46)
      throw new GuestError('not-permitted', '/proc/kcore cannot be read');
    const table = Buffer.alloc(header.readUInt16LE(56) * segmentBytes);
    this.#readAt(table, 0, table.length, header.readBigUInt64LE(32));
    const segments: Segment[] = [];
    for (let at = 0; at < table.length; at += segmentBytes) {
      if (table.readUInt32LE(at) !== loadSegment) continue;
      const start = table.readBigUInt64LE(at + 16);
      const physical = table.readBigUInt64LE(at + 24);
      segments.push({
        start,
        end: start + table.readBigUInt64LE(at + 40),
        fileOffset: table.readBigUInt64LE(at + 8),
        physical: physical === noPhysical ? undefined : physical,
      });
    }
    return segments;
  }
}
