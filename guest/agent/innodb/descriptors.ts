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
  private readonly words: Uint32Array;

  constructor(memory: Memory, layout: BlockLayout, pageSize: number, pages: PoolPages) {
    this.memory = memory;
    this.layout = layout;
    this.pageSize = pageSize;
    this.pages = pages;
    this.words = wordsOf(layout);
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
    const frameWord = word + this.layout.frameOffset / 4;
    const frame = u64(words, frameWord);
    const second = u64(words, frameWord + this.layout.strideBytes / 4);
    const fits = frame >= address + 2 * this.layout.strideBytes && frame < areaEnd;
    if (!fits || frame % this.pageSize !== 0 || frame - address > maxArrayBytes) return undefined;
    return second === frame + this.pageSize ? frame : undefined;
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
    const { pages, pageSize } = this;
    const tally = Uint32Array.of(pages.count, pages.dirty);
    const { address, space, page } = pages;
    const fitted = takePages(
      this.window,
      this.words,
      count,
      firstFrame,
      pageSize,
      address,
      space,
      page,
      tally,
    );
    pages.count = tally[0] ?? 0;
    pages.dirty = tally[1] ?? 0;
    return fitted;
  }
}

/** A layout as words: stride, frame, state, its mask, first and last, modified, clean up to, space, page. */
function wordsOf({ strideBytes, frameOffset, state, ...layout }: BlockLayout): Uint32Array {
  return Uint32Array.of(
    ...[strideBytes / 4, frameOffset / 4, state.offset / 4, state.mask, state.first, state.last],
    ...[layout.modifiedOffset / 4, layout.cleanUpTo, layout.spaceOffset / 4, layout.pageOffset / 4],
  );
}

/**
 * Takes the pages of descriptors that lie in `window`, for readDescriptors. `tally` has the number of clean and dirty pages.
 * As all loops over pages, it works on numbers and typed arrays alone (docs/agent.md, V8's optimiser).
 */
function takePages(
  window: Uint32Array,
  layout: Uint32Array,
  count: number,
  firstFrame: number,
  pageSize: number,
  addresses: Float64Array,
  spaces: Uint32Array,
  pages: Uint32Array,
  tally: Uint32Array,
): number {
  const [stride = 0, frame = 0, state = 0, mask = 0, first = 0, last = 0] = layout;
  const [modified = 0, cleanUpTo = 0, space = 0, page = 0] = layout.subarray(6);
  let clean = tally[0] ?? 0;
  let dirty = tally[1] ?? 0;
  let index = 0;
  for (; index < count; index++) {
    const word = index * stride;
    const address = firstFrame + index * pageSize;
    if (u64(window, word + frame) !== address) break;
    const stateWord = ((window[word + state] ?? 0) & mask) >>> 0;
    if (stateWord < first || stateWord > last) continue;
    if ((window[word + modified] ?? 0) > cleanUpTo || (window[word + modified + 1] ?? 0) !== 0) {
      dirty++;
      continue;
    }
    addresses[clean] = address;
    spaces[clean] = window[word + space] ?? 0;
    pages[clean] = window[word + page] ?? 0;
    clean++;
  }
  tally[0] = clean;
  tally[1] = dirty;
  return index;
}

function u64(words: Uint32Array, word: number): number {
  return (words[word] ?? 0) + (words[word + 1] ?? 0) * 2 ** 32;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

interface Verification {
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
  for (let next = 0; next < pages.count;) {
    const index = next;
    next += 1;
    if (!isComparable(pages.space[index] ?? 0)) continue;
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
