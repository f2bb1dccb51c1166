/** Finds the pages of a buffer pool through InnoDB's block descriptors. */
import type { Mapping, Memory } from '../process-memory.ts';
import type { BlockLayout } from './layouts.ts';
import {
  hasValidChecksum,
  pageHeaderBytes,
  pageNumberOffset,
  readU32,
  spaceIdOffset,
} from './page-format.ts';
import { capacityOf } from './pool-memory.ts';
import { PoolPages } from './pool-pages.ts';

/** Descriptors read at once. */
const windowBytes = 1024 * 1024;
/** Where an array is not in its usual place (areas that the kernel merged), it is looked for this far. */
const maxSearchBytes = 64 * 1024 * 1024;
const searchStepBytes = 4096;
/** A chunk's descriptors take 2.2 % of it; no chunk has more than this. */
const maxArrayBytes = 1024 * 1024 * 1024;

/** Reads all descriptors in the given areas. Finds nothing where the layout does not fit. */
export function walkDescriptors(
  memory: Memory,
  areas: readonly Mapping[],
  layout: BlockLayout,
  pageSize: number,
): PoolPages {
  const pages = new PoolPages(capacityOf(areas, pageSize));
  new DescriptorWalk(memory, layout, pageSize, pages).walk(areas);
  return pages;
}

class DescriptorWalk {
  private readonly memory: Memory;
  private readonly layout: BlockLayout;
  private readonly pageSize: number;
  private readonly pages: PoolPages;
  private readonly window = new Uint32Array(windowBytes / 4);

  constructor(memory: Memory, layout: BlockLayout, pageSize: number, pages: PoolPages) {
    this.memory = memory;
    this.layout = layout;
    this.pageSize = pageSize;
    this.pages = pages;
  }

  walk(areas: readonly Mapping[]): void {
    const { arrays } = this.layout;
    for (const area of areas) {
      if (arrays.kind === 'extents') this.walkExtents(area, arrays.alignmentBytes);
      else this.walkChunks(area, arrays.offsetBytes);
    }
  }

  private walkExtents(area: Mapping, alignment: number): void {
    for (let start = roundUp(area.start, alignment); start < area.end; start += alignment)
      this.readArray(start, Math.min(start + alignment, area.end));
  }

  private walkChunks(area: Mapping, offset: number): void {
    let end = this.readArray(area.start + offset, area.end) ?? area.start;
    while (end < area.end) {
      const next =
        this.readArray(end + offset, area.end) ?? this.readArray(this.searchArray(end, area.end), area.end);
      if (next === undefined) return;
      end = next;
    }
  }

  /** Address of an array's start at or after `from`, or the area's end. */
  private searchArray(from: number, areaEnd: number): number {
    const end = Math.min(areaEnd, from + maxSearchBytes);
    for (let at = from; at < end; at += windowBytes) {
      const bytes = this.memory.read(at, bytesOf(this.window));
      for (let offset = 0; offset + 2 * this.layout.strideBytes <= bytes; offset += searchStepBytes)
        if (this.frameOfFirst(this.window, offset / 4, at + offset, areaEnd) !== undefined)
          return at + offset;
    }
    return areaEnd;
  }

  /** The first descriptor's frame, if two descriptors of neighbouring frames lie here. */
  private frameOfFirst(
    words: Uint32Array,
    word: number,
    address: number,
    areaEnd: number,
  ): number | undefined {
    const frame = this.frameAt(words, word);
    const second = this.frameAt(words, word + this.layout.strideBytes / 4);
    const fits = frame >= address + 2 * this.layout.strideBytes && frame < areaEnd;
    if (!fits || frame % this.pageSize !== 0 || frame - address > maxArrayBytes) return undefined;
    return second === frame + this.pageSize ? frame : undefined;
  }

  private frameAt(words: Uint32Array, word: number): number {
    const at = word + this.layout.frameOffset / 4;
    return (words[at] ?? 0) + (words[at + 1] ?? 0) * 2 ** 32;
  }

  /**
   * Reads the array of descriptors that begins at `start` and lies before its first frame. Gives the end of its last
   * frame, or undefined when no array begins there.
   */
  private readArray(start: number, areaEnd: number): number | undefined {
    const { strideBytes } = this.layout;
    if (start >= areaEnd) return undefined;
    const head = this.window.subarray(0, (2 * strideBytes) / 4);
    if (this.memory.read(start, bytesOf(head)) < 2 * strideBytes) return undefined;
    const firstFrame = this.frameOfFirst(this.window, 0, start, areaEnd);
    if (firstFrame === undefined) return undefined;
    const frames = Math.floor((areaEnd - firstFrame) / this.pageSize);
    const descriptors = Math.min(Math.floor((firstFrame - start) / strideBytes), frames);
    const perWindow = Math.floor(windowBytes / strideBytes);
    for (let first = 0; first < descriptors; first += perWindow) {
      const wanted = Math.min(perWindow, descriptors - first);
      const words = this.window.subarray(0, (wanted * strideBytes) / 4);
      const bytes = this.memory.read(start + first * strideBytes, bytesOf(words));
      const complete = Math.floor(bytes / strideBytes);
      const read = this.readDescriptors(complete, firstFrame + first * this.pageSize);
      if (read < wanted) return firstFrame + (first + read) * this.pageSize;
    }
    return firstFrame + descriptors * this.pageSize;
  }

  /** Reads descriptors in the window; stops at one whose frame is not the next. Gives the number that fitted. */
  private readDescriptors(count: number, firstFrame: number): number {
    const { layout, pages, window, pageSize } = this;
    const stride = layout.strideBytes / 4;
    const state = layout.state.offset / 4;
    const modified = layout.modifiedOffset / 4;
    const space = layout.spaceOffset / 4;
    const page = layout.pageOffset / 4;
    for (let index = 0; index < count; index++) {
      const word = index * stride;
      const frame = firstFrame + index * pageSize;
      if (this.frameAt(window, word) !== frame) return index;
      const stateWord = ((window[word + state] ?? 0) & layout.state.mask) >>> 0;
      if (stateWord < layout.state.first || stateWord > layout.state.last) continue;
      const isClean =
        (window[word + modified] ?? 0) <= layout.cleanUpTo && (window[word + modified + 1] ?? 0) === 0;
      if (isClean) pages.add(frame, window[word + space] ?? 0, window[word + page] ?? 0);
      else pages.dirty++;
    }
    return count;
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

export interface Verification {
  /** Pages that were compared with what the descriptors say. */
  readonly sampled: number;
  /** Of those, pages whose own header names the same tablespace and page. */
  readonly named: number;
  /** Of those, pages with a valid checksum, which a page equal to its file has. */
  readonly valid: number;
}

/** Checksums are the slowest part of finding pages in an emulated guest; a wrong layout fails with the first of them. */
const samples = 24;

/**
 * Compares pages all over the pool with their own headers and checksums, of the tablespaces that are comparable: pages of
 * compressed ones have no checksum in memory.
 */
export function verifyPages(
  memory: Memory,
  pages: PoolPages,
  pageSize: number,
  isComparable: (spaceId: number) => boolean,
): Verification {
  const frame = new Uint8Array(pageSize);
  let sampled = 0;
  let named = 0;
  let valid = 0;
  const step = Math.max(1, Math.floor(pages.count / samples));
  let next = 0;
  for (let index = 0; index < pages.count; index++) {
    if (index < next || !isComparable(pages.space[index] ?? 0)) continue;
    next = index + step;
    if (memory.read(pages.address[index] ?? 0, frame) < pageHeaderBytes) continue;
    sampled++;
    if (readU32(frame, pageNumberOffset) !== pages.page[index]) continue;
    if (readU32(frame, spaceIdOffset) !== pages.space[index]) continue;
    named++;
    if (hasValidChecksum(frame, 0, pageSize)) valid++;
  }
  return { sampled, named, valid };
}

/**
 * Whether the layout is right. A wrong one names no page rightly; a right one can be wrong about a page that changes
 * while it is looked at, and about the checksums of tables that have none.
 */
export function isTrustworthy({ sampled, named, valid }: Verification): boolean {
  return sampled > 0 && named >= 0.9 * sampled && valid >= 0.5 * named;
}
