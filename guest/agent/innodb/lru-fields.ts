/**
 * Finds out what descriptors of a version that is not known have of InnoDB's LRU list. The list shows in its links: nearly every page's
 * descriptor is the one before the one behind it. What says which pages are old lies as in one of the known versions, and is taken only if
 * it is so along the links: neighbours are both old or both not, but for the one place where the old ones begin, and before that
 * freed_page_clock falls. Where nothing was evicted it is 0 everywhere, and nothing is found.
 */
import type { Mapping, Memory } from '../process-memory.ts';
import { bytesOf, findArrays, u64 } from './descriptor-arrays.ts';
import type { BlockLayout, LruFields } from './layouts.ts';

/** Pages that are followed to the next one, and of these those that show where the links are. */
const maxSamples = 1024;
const maxTried = 64;
/** Fewer prove nothing, and a list of fewer than 512 pages has no old ones. */
const minSamples = 256;
/** Others are just being moved, or hold no page, where the state that says so is not known. */
const minLinked = 0.5;
const maxWrong = 0.01;
/** innodb_old_blocks_pct is 37, unless somebody has changed it. */
const oldShare = { min: 0.3, max: 0.45 };
/** Pages that one statement has used have one clock; where all have the same, nothing shows that it falls. */
const minClocks = 3;

/** Of MariaDB, and MySQL up to 5.7: `old` is the lowest bit, `freed_page_clock` the others. Of MySQL since 8.0: a byte, 18 bytes behind it. */
const forms = [
  { mask: 1, clockDistance: 0, shift: 1 },
  { mask: 0x1_0000, clockDistance: 16, shift: 0 },
] as const;

interface Page {
  readonly address: number;
  readonly words: Uint32Array;
}

/** A page's descriptor and that of the next one in the list, in words. */
interface Link {
  readonly page: Uint32Array;
  readonly next: Uint32Array;
}

export function findLruFields(
  memory: Memory,
  areas: readonly Mapping[],
  layout: BlockLayout,
  pageSize: number,
): LruFields | undefined {
  const pages = samplePages(memory, areas, layout, pageSize);
  if (pages.length < minSamples) return undefined;
  const words = Array.from({ length: layout.strideBytes / 4 }, (_, word) => word);
  for (const node of words.filter((word) => word % 2 === 0)) {
    const tried = pages.slice(0, maxTried);
    if (linksOf(memory, tried, node).length < minLinked * tried.length) continue;
    const links = linksOf(memory, pages, node);
    if (links.length < minLinked * pages.length) continue;
    for (const { mask, clockDistance, shift } of forms)
      for (const word of words) {
        const fields = {
          old: { offset: word * 4, mask },
          clock: { offset: word * 4 - clockDistance, shift },
        };
        if (fields.clock.offset >= 0 && areTrue(fields, links)) return fields;
      }
  }
  return undefined;
}

/** Descriptors of pages, from all over the pool in no order. */
function samplePages(
  memory: Memory,
  areas: readonly Mapping[],
  layout: BlockLayout,
  pageSize: number,
): readonly Page[] {
  const { strideBytes, state } = layout;
  const arrays = findArrays(memory, areas, layout, pageSize);
  const descriptors = arrays.reduce((sum, { count }) => sum + count, 0);
  const step = Math.max(1, Math.floor(descriptors / maxSamples));
  const pages: Page[] = [];
  for (const { start, count } of arrays)
    for (let index = 0; index < count; index += step) {
      const address = start + index * strideBytes;
      const words = new Uint32Array(strideBytes / 4);
      if (memory.read(address, bytesOf(words)) < strideBytes) continue;
      const stateWord = ((words[state.offset / 4] ?? 0) & state.mask) >>> 0;
      if (stateWord >= state.first && stateWord <= state.last) pages.push({ address, words });
    }
  return pages;
}

/** To the next pages, of those pages that these name as the ones before them. @param node word of `prev`; `next` follows (UT_LIST_NODE_T) */
function linksOf(memory: Memory, pages: readonly Page[], node: number): readonly Link[] {
  return pages.flatMap(({ address, words }) => {
    const nextAddress = u64(words, node + 2);
    if (nextAddress === 0) return [];
    const next = new Uint32Array(words.length);
    const isRead = memory.read(nextAddress, bytesOf(next)) === next.byteLength;
    return isRead && u64(next, node) === address ? [{ page: words, next }] : [];
  });
}

function areTrue({ old, clock }: LruFields, links: readonly Link[]): boolean {
  const isOld = (words: Uint32Array): boolean => ((words[old.offset / 4] ?? 0) & old.mask) !== 0;
  const clockOf = (words: Uint32Array): number => (words[clock.offset / 4] ?? 0) >>> clock.shift;
  const share = links.filter(({ page }) => isOld(page)).length / links.length;
  if (share < oldShare.min || share > oldShare.max) return false;
  const differing = links.filter(({ page, next }) => isOld(page) !== isOld(next));
  const young = links.filter(({ page, next }) => !isOld(page) && !isOld(next));
  const clocks = new Set(young.map(({ page }) => clockOf(page)));
  const rises = young.filter(({ page, next }) => clockOf(page) < clockOf(next));
  return (
    differing.length <= maxWrong * links.length &&
    rises.length <= maxWrong * young.length &&
    clocks.size >= minClocks
  );
}
