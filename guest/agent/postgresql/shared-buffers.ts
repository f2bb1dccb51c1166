/**
 * Finds PostgreSQL's buffers in its shared memory and what each holds. No version is known beforehand: descriptors are an array of
 * 64 bytes each (BufferDescPadded) in which one word, buf_id, counts up from 0; the words before it are the tag of the page and
 * the word behind it is the state (src/include/storage/buf_internals.h, 9.6 to 18). The blocks follow the array. That it is so
 * shows in the blocks: they begin with a page's header. What is listed is compared with the files besides (finder.ts).
 */
import type { Mapping, Memory } from '../process-memory.ts';
import { blockBytes, isPageHeader, pageHeaderBytes } from './page-format.ts';

export interface BufferLayout {
  /** Address of the first descriptor's tag. */
  readonly descriptors: number;
  readonly count: number;
  /** Address of the first block. */
  readonly blocks: number;
}

/** BUFFERDESC_PAD_TO_SIZE */
const descriptorBytes = 64;
const descriptorWords = descriptorBytes / 4;
/** Of a descriptor, in words: spcOid, dbOid, relNumber, forkNum, blockNum, buf_id, state. */
const fields = { space: 0, database: 1, relation: 2, fork: 3, block: 4, id: 5, state: 6 } as const;
const state = {
  /** How often it was used since the clock sweep last passed it; 5 at most. */
  usageCount: 0xf << 18,
  usedOnce: 1 << 18,
  dirty: 1 << 23,
  /** BM_VALID, BM_TAG_VALID and BM_IO_IN_PROGRESS: of these a page that is there has the first two. */
  mask: (1 << 24) | (1 << 25) | (1 << 26),
  isThere: (1 << 24) | (1 << 25),
} as const;

/** The least that shared_buffers can be. */
const minBuffers = 16;
/** ShmemAlloc gives multiples of PG_CACHE_LINE_SIZE; PG_IO_ALIGN_SIZE of version 16 and later is 4096. */
const blockAlignments = [4096, 128] as const;
const maxGapBytes = 8192;
const windowBytes = 1024 * 1024;
const maxHeadersLookedAt = 64;
/** Arrays that count up and are no descriptors: a server has a few, and a process that only calls itself one can have any number. */
const maxOtherArrays = 16;
/** Fewer pages prove nothing. */
const minHeaders = 4;

/** The shared memory of a server: anonymous, or System V's, or of huge pages. */
export function sharedMemory(mappings: readonly Mapping[]): Mapping[] {
  return mappings
    .filter(({ permissions, kind }) => permissions === 'rw-s' && kind === 'kernel')
    .sort((a, b) => b.end - b.start - (a.end - a.start));
}

/**
 * @param isPresent whether any page of a range is in memory and the process's own: what the server has not used yet would be
 * taken from the guest's free memory by reading it
 */
export function findBuffers(
  memory: Memory,
  area: Pick<Mapping, 'start' | 'end'>,
  isPresent: (start: number, end: number) => boolean,
): BufferLayout | undefined {
  // Windows overlap by the fewest descriptors that there are, so that each start is seen with them.
  const step = windowBytes - minBuffers * descriptorBytes;
  const window = new Uint32Array(windowBytes / 4);
  const bytes = new Uint8Array(window.buffer);
  let others = 0;
  for (let start = area.start; start < area.end; start += step) {
    const length = Math.min(windowBytes, area.end - start);
    if (!isPresent(start, start + length)) continue;
    const words = Math.floor(memory.read(start, bytes.subarray(0, length)) / 4);
    for (let word = nextCount(window, words, 0); word < words; word = nextCount(window, words, word + 1)) {
      const layout = layoutAt(memory, area, start + (word - fields.id) * 4);
      if (layout !== undefined) return layout;
      if (++others > maxOtherArrays) return undefined;
    }
  }
  return undefined;
}

/** The first word from `from` on that is 0, with 1, 2, 3 … at the descriptors behind it; `words` if there is none. */
function nextCount(window: Uint32Array, words: number, from: number): number {
  const last = words - (minBuffers - 1) * descriptorWords;
  for (let word = from; word < last; word++) {
    if (window[word] !== 0 || window[word + descriptorWords] !== 1) continue;
    let id = 2;
    while (id < minBuffers && window[word + id * descriptorWords] === id) id++;
    if (id === minBuffers) return word;
  }
  return words;
}

function layoutAt(
  memory: Memory,
  { start, end }: Pick<Mapping, 'start' | 'end'>,
  descriptors: number,
): BufferLayout | undefined {
  if (descriptors < start) return undefined;
  const count = countDescriptors(
    memory,
    descriptors,
    Math.floor((end - descriptors) / (descriptorBytes + blockBytes)),
  );
  if (count < minBuffers) return undefined;
  const samples = samplePages(memory, descriptors, count);
  const behind = descriptors + count * descriptorBytes;
  for (const alignment of blockAlignments) {
    const first = Math.ceil(behind / alignment) * alignment;
    for (let blocks = first; blocks <= first + maxGapBytes; blocks += alignment) {
      if (blocks + count * blockBytes > end) break;
      if (areBlocksAt(memory, blocks, samples)) return { descriptors, count, blocks };
    }
  }
  return undefined;
}

function countDescriptors(memory: Memory, descriptors: number, most: number): number {
  const window = new Uint32Array(windowBytes / 4);
  const perWindow = windowBytes / descriptorBytes;
  for (let first = 0; first < most; first += perWindow) {
    const read = memory.read(descriptors + first * descriptorBytes, new Uint8Array(window.buffer));
    const whole = Math.min(Math.floor(read / descriptorBytes), most - first);
    for (let index = 0; index < whole; index++)
      if (window[index * descriptorWords + fields.id] !== first + index) return first + index;
    if (whole < perWindow) return first + whole;
  }
  return most;
}

/** Numbers of buffers all over the array that hold a page. */
function samplePages(memory: Memory, descriptors: number, count: number): number[] {
  const found: number[] = [];
  const window = new Uint32Array(windowBytes / 4);
  const perWindow = windowBytes / descriptorBytes;
  for (let first = 0; first < count; first += perWindow) {
    const read = memory.read(descriptors + first * descriptorBytes, new Uint8Array(window.buffer));
    const whole = Math.min(Math.floor(read / descriptorBytes), count - first);
    for (let index = 0; index < whole; index++) {
      const word = window[index * descriptorWords + fields.state] ?? 0;
      if ((word & state.mask) === state.isThere) found.push(first + index);
    }
  }
  const step = Math.max(1, Math.floor(found.length / maxHeadersLookedAt));
  return found.filter((_, index) => index % step === 0).slice(0, maxHeadersLookedAt);
}

/** A page that was just added to its file may be zeros. */
function areBlocksAt(memory: Memory, blocks: number, samples: readonly number[]): boolean {
  const header = new Uint8Array(pageHeaderBytes);
  let headers = 0;
  let others = 0;
  for (const buffer of samples) {
    if (memory.read(blocks + buffer * blockBytes, header) < header.length) return false;
    if (isPageHeader(header)) headers++;
    else if (header.some((byte) => byte !== 0)) others++;
    if (others > samples.length / 10) return false;
  }
  return headers >= minHeaders;
}

/** Pages in buffers, as columns. */
export interface BufferedPages {
  count: number;
  dirty: number;
  readonly address: Float64Array;
  readonly space: Uint32Array;
  readonly database: Uint32Array;
  readonly relation: Uint32Array;
  readonly fork: Uint32Array;
  readonly block: Uint32Array;
  /** 1 of pages that were used once at most since the clock sweep last passed them, as those that a scan or a prewarm has read. */
  readonly cold: Uint8Array;
}

/** The pages that are equal to their file as far as the server knows, and the number of the others. */
export function walkBuffers(memory: Memory, { descriptors, count, blocks }: BufferLayout): BufferedPages {
  const pages: BufferedPages = {
    ...{ count: 0, dirty: 0, address: new Float64Array(count) },
    ...{ space: new Uint32Array(count), database: new Uint32Array(count), relation: new Uint32Array(count) },
    ...{ fork: new Uint32Array(count), block: new Uint32Array(count), cold: new Uint8Array(count) },
  };
  const window = new Uint32Array(windowBytes / 4);
  const perWindow = windowBytes / descriptorBytes;
  const tally = new Uint32Array(2);
  for (let first = 0; first < count; first += perWindow) {
    const read = memory.read(descriptors + first * descriptorBytes, new Uint8Array(window.buffer));
    const whole = Math.min(Math.floor(read / descriptorBytes), count - first);
    takePages(
      window,
      whole,
      blocks + first * blockBytes,
      pages.address,
      pages.space,
      pages.database,
      pages.relation,
      pages.fork,
      pages.block,
      pages.cold,
      tally,
    );
  }
  pages.count = tally[0] ?? 0;
  pages.dirty = tally[1] ?? 0;
  return pages;
}

/** Numbers and typed arrays alone (page-runs.ts says why). `tally` has the number of clean and of dirty pages. */
function takePages(
  window: Uint32Array,
  count: number,
  firstBlock: number,
  addresses: Float64Array,
  spaces: Uint32Array,
  databases: Uint32Array,
  relations: Uint32Array,
  forks: Uint32Array,
  blocks: Uint32Array,
  cold: Uint8Array,
  tally: Uint32Array,
): void {
  let clean = tally[0] ?? 0;
  let dirty = tally[1] ?? 0;
  for (let index = 0; index < count; index++) {
    const at = index * descriptorWords;
    const word = window[at + fields.state] ?? 0;
    if ((word & state.mask) !== state.isThere) continue;
    if ((word & state.dirty) !== 0) {
      dirty++;
      continue;
    }
    addresses[clean] = firstBlock + index * blockBytes;
    spaces[clean] = window[at + fields.space] ?? 0;
    databases[clean] = window[at + fields.database] ?? 0;
    relations[clean] = window[at + fields.relation] ?? 0;
    forks[clean] = window[at + fields.fork] ?? 0;
    blocks[clean] = window[at + fields.block] ?? 0;
    cold[clean] = (word & state.usageCount) <= state.usedOnce ? 1 : 0;
    clean++;
  }
  tally[0] = clean;
  tally[1] = dirty;
}
