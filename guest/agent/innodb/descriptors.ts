/** Finds the pages of a buffer pool through InnoDB's block descriptors. */
import type { Mapping, Memory } from '../process-memory.ts';
import { u64, walkArrays } from './descriptor-arrays.ts';
import type { BlockLayout, LruFields } from './layouts.ts';
import {
  hasValidChecksum,
  pageHeaderBytes,
  pageNumberOffset,
  readU32,
  spaceIdOffset,
} from './page-format.ts';
import { capacityOf } from './pool-memory.ts';
import { PoolPages } from './pool-pages.ts';

/** Reads all descriptors in the given areas. Finds nothing where the layout does not fit. */
export function walkDescriptors(
  memory: Memory,
  areas: readonly Mapping[],
  layout: BlockLayout,
  pageSize: number,
): PoolPages {
  const pages = new PoolPages(capacityOf(areas, pageSize));
  const words = wordsOf(layout);
  const { address, space, page, cold } = pages;
  const tally = new Uint32Array(4);
  walkArrays(memory, areas, layout, pageSize, (window, count, firstFrame) =>
    takePages(window, words, count, firstFrame, pageSize, address, space, page, cold, tally),
  );
  const [clean = 0, dirty = 0, old = 0, evicted = 0] = tally;
  pages.count = clean;
  pages.dirty = dirty;
  if (layout.lru !== undefined) pages.heatUnknown = heatUnknownOf(clean + dirty, old, evicted);
  if (pages.heatUnknown !== undefined) cold.fill(0, 0, clean);
  return pages;
}

/** innodb_old_blocks_pct is 5 to 95, and 37 by default. */
const oldShare = { min: 0.04, max: 0.96 };

/**
 * The old sublist has the pages that were used longest ago, once each page that was in it at first was evicted or used since. Before the
 * first eviction InnoDB moves no page, so that it has those that were loaded first (buf_page_peek_if_too_old).
 */
function heatUnknownOf(pages: number, old: number, evicted: number): string | undefined {
  if (old < oldShare.min * pages || old > oldShare.max * pages)
    return 'its LRU list has no old sublist, as one of less than 512 pages';
  if (evicted < old) return 'it has evicted few pages or none, and keeps them in no order of use before';
  return undefined;
}

/** Of descriptors whose LRU list is not known: no bit of any word, and a number that stays 0. */
const noLru: LruFields = { old: { offset: 0, mask: 0 }, clock: { offset: 0, shift: 31 } };

/** A layout as words: stride, frame, state, its mask, first and last, modified, clean up to, space, page, old, its mask, clock, its shift. */
function wordsOf({ strideBytes, frameOffset, state, lru = noLru, ...layout }: BlockLayout): Uint32Array {
  return Uint32Array.of(
    ...[strideBytes / 4, frameOffset / 4, state.offset / 4, state.mask, state.first, state.last],
    ...[layout.modifiedOffset / 4, layout.cleanUpTo, layout.spaceOffset / 4, layout.pageOffset / 4],
    ...[lru.old.offset / 4, lru.old.mask, lru.clock.offset / 4, lru.clock.shift],
  );
}

/**
 * Takes the pages of descriptors that lie in `window`, for walkArrays. `tally` has the number of clean and dirty pages, of those in the
 * old sublist, and the highest freed_page_clock. As all loops over pages, it works on numbers and typed arrays alone (page-runs.ts says why).
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
  cold: Uint8Array,
  tally: Uint32Array,
): number {
  const [stride = 0, frame = 0, state = 0, mask = 0, first = 0, last = 0] = layout;
  const [modified = 0, cleanUpTo = 0, space = 0, page = 0] = layout.subarray(6);
  const [old = 0, oldMask = 0, clock = 0, clockShift = 0] = layout.subarray(10);
  let [clean = 0, dirty = 0, oldPages = 0, evicted = 0] = tally;
  let index = 0;
  for (; index < count; index++) {
    const word = index * stride;
    const address = firstFrame + index * pageSize;
    if (u64(window, word + frame) !== address) break;
    const stateWord = ((window[word + state] ?? 0) & mask) >>> 0;
    if (stateWord < first || stateWord > last) continue;
    const isOld = ((window[word + old] ?? 0) & oldMask) === 0 ? 0 : 1;
    oldPages += isOld;
    evicted = Math.max(evicted, (window[word + clock] ?? 0) >>> clockShift);
    if ((window[word + modified] ?? 0) > cleanUpTo || (window[word + modified + 1] ?? 0) !== 0) {
      dirty++;
      continue;
    }
    addresses[clean] = address;
    spaces[clean] = window[word + space] ?? 0;
    pages[clean] = window[word + page] ?? 0;
    cold[clean] = isOld;
    clean++;
  }
  tally[0] = clean;
  tally[1] = dirty;
  tally[2] = oldPages;
  tally[3] = evicted;
  return index;
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
