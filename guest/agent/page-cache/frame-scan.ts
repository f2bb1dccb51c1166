/**
 * Which page frames hold clean pages of files, by /proc/kpageflags (Documentation/admin-guide/mm/pagemap.rst), and of which file
 * each is which page, by the kernel's own description of the frame.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import type { FrameDescriptions, KernelMemory } from './kernel-memory.ts';

/** Of a frame's flags, which all are in the lower half. */
const flag = {
  uptodate: 1 << 3,
  dirty: 1 << 4,
  lru: 1 << 5,
  active: 1 << 6,
  writeback: 1 << 8,
  mapped: 1 << 11,
  anonymous: 1 << 12,
  swapBacked: 1 << 14,
  tail: 1 << 16,
  poisoned: 1 << 19,
} as const;

const flagsBytes = 8;
/** Frames looked at at once: 512 KiB of flags, 4 MiB of descriptions. */
const windowFrames = 64 * 1024;

/** Where members of struct page lie, in bytes. */
export interface DescriptionLayout {
  readonly sizeBytes: number;
  readonly mapping: number;
  readonly index: number;
}

export interface FilePages {
  count: number;
  readonly frames: Uint32Array;
  /** Index into `mappings`. */
  readonly file: Uint32Array;
  /** Page of the file. */
  readonly page: Uint32Array;
  /** 1 of pages that the kernel has in its inactive list and no process has mapped: processes read them once, or long ago. */
  readonly cold: Uint8Array;
  /** Pages that it has in its active list, of all that are clean. */
  active: number;
  /** Address of each file's `struct address_space`, less than 2^48 of it. */
  readonly mappings: number[];
  /** Pages that differ from their file, or are being written. */
  dirty: number;
  /** Found after the columns were full, or of files after as many others as are noted. */
  beyond: number;
}

/** What the last frame that is not part of a larger page says, for the frames that are. */
const folio = { frame: 0, mappingLow: 1, mappingHigh: 2, index: 3, kind: 4, use: 5, length: 6 } as const;
const frameKind = { other: 0, clean: 1, dirty: 2 } as const;
const tally = { found: 0, dirty: 1, active: 2, length: 3 } as const;

/** Reads flags of frames: fills `into` from those of the frame on, gives the bytes read. */
type ReadFlags = (frame: number, into: Uint8Array) => number;

/** Passes on what /proc/kpageflags says. @throws GuestError 'not-permitted' */
export function withFrameFlags<Result>(scan: (readFlags: ReadFlags) => Result): Result {
  const file = openFlags();
  try {
    return scan((frame, into) => readSync(file, into, 0, into.length, frame * flagsBytes));
  } finally {
    closeSync(file);
  }
}

/**
 * @param maxPages most pages that are noted
 * @param maxFiles most files that are: any user of the guest can have millions of small ones in the cache
 */
export function scanFrames(
  readFlags: ReadFlags,
  memory: Pick<KernelMemory, 'read'>,
  stretches: readonly FrameDescriptions[],
  layout: DescriptionLayout,
  maxPages: number,
  maxFiles: number,
): FilePages {
  const frames = stretches.reduce((sum, { firstFrame, endFrame }) => sum + endFrame - firstFrame, 0);
  const most = Math.min(frames, maxPages);
  // Untouched memory of these costs nothing.
  const pages: FilePages = {
    count: 0,
    frames: new Uint32Array(most),
    file: new Uint32Array(most),
    page: new Uint32Array(most),
    cold: new Uint8Array(most),
    active: 0,
    mappings: [],
    dirty: 0,
    beyond: 0,
  };
  const files = new Map<number, number>();
  const flags = new Uint32Array(windowFrames * 2);
  const descriptions = new Uint32Array((windowFrames * layout.sizeBytes) / 4);
  const window: WindowPages = {
    frames: new Uint32Array(windowFrames),
    low: new Uint32Array(windowFrames),
    high: new Uint32Array(windowFrames),
    page: new Uint32Array(windowFrames),
    cold: new Uint8Array(windowFrames),
  };
  const state = new Float64Array(folio.length);
  const counts = new Uint32Array(tally.length);
  const { sizeBytes, mapping, index } = layout;
  for (const { firstFrame, endFrame, address } of stretches)
    for (let start = firstFrame; start < endFrame; start += windowFrames) {
      const wanted = Math.min(windowFrames, endFrame - start);
      const known = Math.floor(readFlags(start, asBytes(flags, wanted * flagsBytes)) / flagsBytes);
      if (countFilePages(flags, known) === 0) {
        state[folio.kind] = frameKind.other;
        continue;
      }
      const from = address + BigInt((start - firstFrame) * sizeBytes);
      const bytes = memory.read(from, asBytes(descriptions, known * sizeBytes));
      takeFilePages(
        flags,
        descriptions,
        Math.min(known, Math.floor(bytes / sizeBytes)),
        start,
        sizeBytes / 4,
        mapping / 4,
        index / 4,
        window.frames,
        window.low,
        window.high,
        window.page,
        window.cold,
        state,
        counts,
      );
      keep(window, counts[tally.found] ?? 0, files, maxFiles, pages);
    }
  pages.dirty = counts[tally.dirty] ?? 0;
  pages.active = counts[tally.active] ?? 0;
  return pages;
}

interface WindowPages {
  readonly frames: Uint32Array;
  /** Halves of the address of each page's mapping. */
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  readonly page: Uint32Array;
  readonly cold: Uint8Array;
}

const asBytes = (words: Uint32Array, bytes: number): Uint8Array => new Uint8Array(words.buffer, 0, bytes);

function openFlags(): number {
  try {
    return openSync('/proc/kpageflags', 'r');
  } catch (cause) {
    if (systemErrorCode(cause) === undefined) throw cause;
    throw new GuestError('not-permitted', '/proc/kpageflags cannot be read: the agent needs root', cause);
  }
}

/** Kernel addresses differ in their lower 48 bits. */
const addressOf = (low: number, high: number): number => (high & 0xffff) * 2 ** 32 + low;

/** Adds a window's pages, and gives each file that is new a number. */
function keep(
  { frames, low, high, page, cold }: WindowPages,
  found: number,
  files: Map<number, number>,
  maxFiles: number,
  pages: FilePages,
): void {
  let lastMapping = -1;
  let file = 0;
  for (let at = 0; at < found; at++) {
    const mapping = addressOf(low[at] ?? 0, high[at] ?? 0);
    if (mapping !== lastMapping) {
      lastMapping = mapping;
      const known = files.get(mapping);
      file = known ?? pages.mappings.length;
      if (known === undefined && file < maxFiles) {
        files.set(mapping, file);
        pages.mappings.push(mapping);
      }
    }
    if (file >= maxFiles) {
      pages.beyond += 1;
      continue;
    }
    if (pages.count === pages.frames.length) {
      pages.beyond += found - at;
      return;
    }
    pages.frames[pages.count] = frames[at] ?? 0;
    pages.file[pages.count] = file;
    pages.page[pages.count] = page[at] ?? 0;
    pages.cold[pages.count] = cold[at] ?? 0;
    pages.count += 1;
  }
}

// Loops over frames stand in functions that get numbers and typed arrays alone (page-runs.ts says why).

const isFilePage = (flags: number): boolean =>
  (flags & (flag.lru | flag.uptodate | flag.anonymous | flag.swapBacked | flag.poisoned)) ===
  (flag.lru | flag.uptodate);

function countFilePages(flags: Uint32Array, frames: number): number {
  let count = 0;
  for (let at = 0; at < frames; at++) if (isFilePage(flags[2 * at] ?? 0)) count++;
  return count;
}

/**
 * Notes the clean file pages among the frames from `start` on. The frames of a larger page (a folio) follow its first, which
 * alone says what it is.
 */
function takeFilePages(
  flags: Uint32Array,
  descriptions: Uint32Array,
  frames: number,
  start: number,
  sizeWords: number,
  mappingWord: number,
  indexWord: number,
  foundFrame: Uint32Array,
  foundLow: Uint32Array,
  foundHigh: Uint32Array,
  foundPage: Uint32Array,
  foundCold: Uint8Array,
  state: Float64Array,
  counts: Uint32Array,
): void {
  let found = 0;
  let dirty = 0;
  let active = 0;
  let folioFrame = state[folio.frame] ?? 0;
  let low = state[folio.mappingLow] ?? 0;
  let high = state[folio.mappingHigh] ?? 0;
  let index = state[folio.index] ?? 0;
  let kind = state[folio.kind] ?? frameKind.other;
  let use = state[folio.use] ?? 0;
  for (let at = 0; at < frames; at++) {
    const bits = flags[2 * at] ?? 0;
    if ((bits & flag.tail) === 0) {
      kind = frameKind.other;
      if (!isFilePage(bits)) continue;
      const description = at * sizeWords;
      low = descriptions[description + mappingWord] ?? 0;
      high = descriptions[description + mappingWord + 1] ?? 0;
      index = descriptions[description + indexWord] ?? 0;
      // The lowest bits say that it is no address of a mapping; a page beyond 16 TiB of its file has no number here.
      if (high === 0 || (low & 3) !== 0 || (descriptions[description + indexWord + 1] ?? 0) !== 0) continue;
      kind = (bits & (flag.dirty | flag.writeback)) === 0 ? frameKind.clean : frameKind.dirty;
      folioFrame = start + at;
      use = bits & (flag.active | flag.mapped);
    }
    if (kind === frameKind.other) continue;
    if (kind === frameKind.dirty) {
      dirty++;
      continue;
    }
    foundFrame[found] = start + at;
    foundLow[found] = low;
    foundHigh[found] = high;
    foundPage[found] = index + start + at - folioFrame;
    foundCold[found] = use === 0 ? 1 : 0;
    if ((use & flag.active) !== 0) active++;
    found++;
  }
  state[folio.frame] = folioFrame;
  state[folio.mappingLow] = low;
  state[folio.mappingHigh] = high;
  state[folio.index] = index;
  state[folio.kind] = kind;
  state[folio.use] = use;
  counts[tally.found] = found;
  counts[tally.active] = (counts[tally.active] ?? 0) + active;
  counts[tally.dirty] = (counts[tally.dirty] ?? 0) + dirty;
}
