/**
 * Finds InnoDB's arrays of block descriptors (buf_block_t) in a server's memory. Whatever the version, a descriptor holds the
 * address of its page's frame, and the descriptors of neighbouring frames lie in one array before them: in MySQL and older
 * MariaDB one for each chunk of the pool, in MariaDB from 10.11.12 on one for each extent of 8 MiB.
 */
import type { Mapping, Memory } from '../process-memory.ts';

/** What it takes to know a descriptor in memory. */
export interface DescriptorShape {
  /** Distance from one descriptor to the next. */
  readonly strideBytes: number;
  /** u64: address of the page's content. */
  readonly frameOffset: number;
}

export interface DescriptorArray {
  readonly start: number;
  readonly firstFrame: number;
  readonly count: number;
}

/**
 * Gets descriptors that lie in `window`, the frames of which should be `firstFrame` and those behind it.
 * @returns how many of them have that frame, one after the other
 */
type TakeDescriptors = (window: Uint32Array, count: number, firstFrame: number) => number;

/** Descriptors read at once. */
const windowBytes = 1024 * 1024;
/** Where no array is expected, it is looked for at these distances: that of the smallest chunk is longer. */
const searchStepBytes = 16 * 1024;
/** The descriptors' distance is looked for at these. */
const shapeStepBytes = 64 * 1024;
/** A chunk's descriptors take 2.2 % of it; no chunk has more than this. */
const maxArrayBytes = 1024 * 1024 * 1024;
/** Descriptors in a row that tell an array from chance. */
const rowLength = 3;

/** What is looked at to see how far descriptors lie from each other: a row of the largest. */
const shapeWindowBytes = 16 * 1024;
const minStrideBytes = 64;
const shapeRowLength = 6;
/** Rows of one stride that are enough to look no further. */
const enoughRows = 4;
/** All memory is walked for each; a program can have any number of them in its memory. */
const maxShapes = 4;

/**
 * The most frequent distances at which addresses of neighbouring frames follow each other, the first of them first. The frame's address counts as
 * the start of a descriptor, since where one begins is not to be seen.
 */
export function findShapes(memory: Memory, areas: readonly Mapping[], pageSize: number): DescriptorShape[] {
  const rows = new Map<number, number>();
  const window = new Uint32Array(shapeWindowBytes / 4);
  search: for (const area of areas)
    for (let at = area.start; at < area.end; at = roundUp(at + 1, shapeStepBytes)) {
      const words = Math.floor(memory.read(at, bytesOf(window)) / 4);
      const stride = strideOfRow(window, words, minStrideBytes / 4, shapeRowLength, at, area.end, pageSize);
      if (stride === 0) continue;
      const count = (rows.get(stride * 4) ?? 0) + 1;
      rows.set(stride * 4, count);
      if (count === enoughRows) break search;
    }
  return [...rows]
    .sort(([, a], [, b]) => b - a)
    .slice(0, maxShapes)
    .map(([strideBytes]) => ({ strideBytes, frameOffset: 0 }));
}

/** All arrays in the given areas. */
export function findArrays(
  memory: Memory,
  areas: readonly Mapping[],
  shape: DescriptorShape,
  pageSize: number,
): DescriptorArray[] {
  const { strideBytes, frameOffset } = shape;
  return walkArrays(memory, areas, shape, pageSize, (window, count, firstFrame) =>
    countFrames(window, count, strideBytes / 4, frameOffset / 4, firstFrame, pageSize),
  );
}

/** How many descriptors have frames that follow each other. As findRow. */
function countFrames(
  window: Uint32Array,
  count: number,
  stride: number,
  frame: number,
  firstFrame: number,
  pageSize: number,
): number {
  let index = 0;
  while (index < count && u64(window, index * stride + frame) === firstFrame + index * pageSize) index++;
  return index;
}

/** Shows all descriptors in the given areas. */
export function walkArrays(
  memory: Memory,
  areas: readonly Mapping[],
  shape: DescriptorShape,
  pageSize: number,
  take: TakeDescriptors,
): DescriptorArray[] {
  const walk = new ArrayWalk(memory, shape, pageSize, take);
  for (const area of areas) walk.walkArea(area);
  return walk.arrays;
}

class ArrayWalk {
  readonly arrays: DescriptorArray[] = [];
  private readonly memory: Memory;
  private readonly shape: DescriptorShape;
  private readonly pageSize: number;
  private readonly take: TakeDescriptors;
  private readonly window = new Uint32Array(windowBytes / 4);

  constructor(memory: Memory, shape: DescriptorShape, pageSize: number, take: TakeDescriptors) {
    this.memory = memory;
    this.shape = shape;
    this.pageSize = pageSize;
    this.take = take;
  }

  /** Each array is followed by its frames, and these, mostly at the same distance as before, by the next array. */
  walkArea(area: Mapping): void {
    let distance = 0;
    for (let end = area.start; end < area.end;) {
      let next = this.readArray(end + distance, area.end);
      if (next === undefined) {
        const start = this.searchArray(end, area.end);
        if (start === undefined) return;
        distance = start - end < searchStepBytes ? start - end : 0;
        next = this.readArray(start, area.end);
        if (next === undefined) return;
      }
      end = next;
    }
  }

  /** Start of the first array at or after `from`. */
  private searchArray(from: number, areaEnd: number): number | undefined {
    const { strideBytes, frameOffset } = this.shape;
    const probe = this.window.subarray(0, ((rowLength + 1) * strideBytes) / 4);
    for (let at = from; at < areaEnd; at = roundUp(at + 1, searchStepBytes)) {
      const words = Math.floor(this.memory.read(at, bytesOf(probe)) / 4);
      const word = findRow(probe, words, strideBytes / 4, rowLength, at, areaEnd, this.pageSize);
      if (word === undefined) continue;
      const found = at + word * 4 - frameOffset;
      const frame = u64(probe, word);
      const start = this.searchBack(found, frame, Math.max(from, at - searchStepBytes));
      if (start >= from) return start;
    }
    return undefined;
  }

  /** Where the array begins that has a descriptor at `found`, not before `from`. */
  private searchBack(found: number, frame: number, from: number): number {
    const { strideBytes, frameOffset } = this.shape;
    const before = Math.max(0, Math.floor((found - from) / strideBytes));
    const words = this.window.subarray(0, (before * strideBytes) / 4);
    const bytes = this.memory.read(found - before * strideBytes, bytesOf(words));
    if (bytes < words.length * 4) return found;
    let start = found;
    for (let index = 1; index <= before; index++) {
      if (u64(words, ((before - index) * strideBytes + frameOffset) / 4) !== frame - index * this.pageSize)
        break;
      start = found - index * strideBytes;
    }
    return start;
  }

  /** The first descriptor's frame, if descriptors of neighbouring frames lie here. */
  private frameOfFirst(address: number, areaEnd: number): number | undefined {
    const { strideBytes, frameOffset } = this.shape;
    const frame = u64(this.window, frameOffset / 4);
    const second = u64(this.window, (frameOffset + strideBytes) / 4);
    const fits = frame >= address + 2 * strideBytes && frame < areaEnd;
    if (!fits || frame % this.pageSize !== 0 || frame - address > maxArrayBytes) return undefined;
    return second === frame + this.pageSize ? frame : undefined;
  }

  /**
   * Reads the array of descriptors that begins at `start` and lies before its first frame. Gives the end of its last
   * frame, or undefined when no array begins there.
   */
  private readArray(start: number, areaEnd: number): number | undefined {
    const { strideBytes } = this.shape;
    if (start >= areaEnd) return undefined;
    const head = this.window.subarray(0, (2 * strideBytes) / 4);
    if (this.memory.read(start, bytesOf(head)) < 2 * strideBytes) return undefined;
    const firstFrame = this.frameOfFirst(start, areaEnd);
    if (firstFrame === undefined) return undefined;
    const frames = Math.floor((areaEnd - firstFrame) / this.pageSize);
    const descriptors = Math.min(Math.floor((firstFrame - start) / strideBytes), frames);
    const perWindow = Math.floor(windowBytes / strideBytes);
    let count = 0;
    while (count < descriptors) {
      const wanted = Math.min(perWindow, descriptors - count);
      const words = this.window.subarray(0, (wanted * strideBytes) / 4);
      const bytes = this.memory.read(start + count * strideBytes, bytesOf(words));
      const complete = Math.floor(bytes / strideBytes);
      const taken = this.take(this.window, complete, firstFrame + count * this.pageSize);
      count += taken;
      if (taken < wanted) break;
    }
    // Not even one, where memory changes or ends here: on behind it.
    if (count === 0) return start + strideBytes;
    this.arrays.push({ start, firstFrame, count });
    return firstFrame + count * this.pageSize;
  }
}

/**
 * The first word at which addresses of `rowLength` neighbouring frames begin, `stride` words from each other. Numbers and typed
 * arrays alone (page-runs.ts says why).
 */
function findRow(
  window: Uint32Array,
  words: number,
  stride: number,
  rowLength: number,
  windowAddress: number,
  areaEnd: number,
  pageSize: number,
): number | undefined {
  const last = Math.min(stride, words - (rowLength - 1) * stride - 1);
  for (let word = 0; word < last; word += 2) {
    if (((window[word] ?? 0) & (pageSize - 1)) !== 0) continue;
    const frame = u64(window, word);
    if (frame <= windowAddress || frame >= areaEnd) continue;
    let next = 1;
    while (next < rowLength && u64(window, word + next * stride) === frame + next * pageSize) next++;
    if (next === rowLength) return word;
  }
  return undefined;
}

/** Words between addresses of neighbouring frames, of which a row lies in the window; 0 without any. As findRow. */
function strideOfRow(
  window: Uint32Array,
  words: number,
  minStride: number,
  rowLength: number,
  windowAddress: number,
  areaEnd: number,
  pageSize: number,
): number {
  const maxStride = Math.floor(words / rowLength);
  for (let word = 0; word < maxStride; word += 2) {
    if (((window[word] ?? 0) & (pageSize - 1)) !== 0) continue;
    const frame = u64(window, word);
    if (frame <= windowAddress || frame >= areaEnd) continue;
    for (let stride = minStride; stride <= maxStride; stride += 2) {
      let next = 1;
      while (next < rowLength && u64(window, word + next * stride) === frame + next * pageSize) next++;
      if (next === rowLength) return stride;
    }
  }
  return 0;
}

export function u64(words: Uint32Array, word: number): number {
  return (words[word] ?? 0) + (words[word + 1] ?? 0) * 2 ** 32;
}

export function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
