/** Finds the pages of a buffer pool through InnoDB's block descriptors. */
import type { Mapping, Memory } from '../process-memory.ts';
import { u64, walkArrays } from './descriptor-arrays.ts';
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

/** Reads all descriptors in the given areas. Finds nothing where the layout does not fit. */
export function walkDescriptors(
  memory: Memory,
  areas: readonly Mapping[],
  layout: BlockLayout,
  pageSize: number,
): PoolPages {
  const pages = new PoolPages(capacityOf(areas, pageSize));
  const words = wordsOf(layout);
  const { address, space, page } = pages;
  walkArrays(memory, areas, layout, pageSize, (window, count, firstFrame) => {
    const tally = Uint32Array.of(pages.count, pages.dirty);
    const fitted = takePages(window, words, count, firstFrame, pageSize, address, space, page, tally);
    pages.count = tally[0] ?? 0;
    pages.dirty = tally[1] ?? 0;
    return fitted;
  });
  return pages;
}

/** A layout as words: stride, frame, state, its mask, first and last, modified, clean up to, space, page. */
function wordsOf({ strideBytes, frameOffset, state, ...layout }: BlockLayout): Uint32Array {
  return Uint32Array.of(
    ...[strideBytes / 4, frameOffset / 4, state.offset / 4, state.mask, state.first, state.last],
    ...[layout.modifiedOffset / 4, layout.cleanUpTo, layout.spaceOffset / 4, layout.pageOffset / 4],
  );
}

/**
 * Takes the pages of descriptors that lie in `window`, for walkArrays. `tally` has the number of clean and dirty pages.
 * As all loops over pages, it works on numbers and typed arrays alone (page-runs.ts says why).
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
