import type { DescriptorShape } from './descriptor-arrays.ts';

/**
 * How InnoDB's block descriptors (buf_block_t) lie in memory. Nothing but the compiled server says so. The agent finds it out
 * (calibration.ts); for some versions it is known from looking at running servers, which saves the search and goes without
 * dirty pages to learn from. Either is used only after its pages proved to be what it says they are (descriptors.ts).
 */

/** u32: the block holds a page of a file when `word & mask` is within [first, last]. */
export interface StateField {
  readonly offset: number;
  readonly mask: number;
  readonly first: number;
  readonly last: number;
}

/** What a descriptor has of InnoDB's LRU list (buf_page_t; buf0lru.cc). */
export interface LruFields {
  /** u32: the page is in the list's old sublist, which pages are evicted from, when `word & mask` is not 0. */
  readonly old: { readonly offset: number; readonly mask: number };
  /** u32: `word >>> shift` is `freed_page_clock`, how many pages the pool had evicted when this one came to the list's head. */
  readonly clock: { readonly offset: number; readonly shift: number };
}

export interface BlockLayout extends DescriptorShape {
  /** u32: tablespace id and page number. */
  readonly spaceOffset: number;
  readonly pageOffset: number;
  /** u64 `oldest_modification`: the page is equal to its file when it is not above `cleanUpTo`. */
  readonly modifiedOffset: number;
  readonly cleanUpTo: number;
  readonly state: StateField;
  readonly lru?: LruFields;
}

interface KnownLayout extends BlockLayout {
  readonly product: 'mariadb' | 'mysql';
  /** Versions it was seen in. */
  readonly versions: RegExp;
}

export const knownLayouts: readonly KnownLayout[] = [
  {
    product: 'mariadb',
    // The pool became one area of 8 MiB extents in 10.11.12 (MDEV-29445); seen in 10.11.19.
    versions: /^10\.11\.(1[2-9]|[2-9]\d)\b/,
    strideBytes: 160,
    pageOffset: 0,
    spaceOffset: 4,
    frameOffset: 48,
    modifiedOffset: 16,
    // 1: written, and only not yet taken off the flush list.
    cleanUpTo: 1,
    // buf_page_t::state: UNFIXED is 1 << 29; READ_FIX, a page that is still being read, begins at 4 << 29.
    state: { offset: 68, mask: 0xffff_ffff, first: 0x2000_0000, last: 0x7fff_ffff },
    lru: { old: { offset: 104, mask: 1 }, clock: { offset: 104, shift: 1 } },
  },
  {
    product: 'mysql',
    versions: /^9\.7\b/,
    strideBytes: 368,
    spaceOffset: 0,
    pageOffset: 4,
    frameOffset: 256,
    modifiedOffset: 56,
    cleanUpTo: 0,
    // buf_page_state, one byte at +21: 5 is BUF_BLOCK_FILE_PAGE.
    state: { offset: 20, mask: 0xff00, first: 0x500, last: 0x500 },
    // `old` is the byte at +130.
    lru: { old: { offset: 128, mask: 0x1_0000 }, clock: { offset: 112, shift: 0 } },
  },
];

export function knownLayoutOf(product: 'mariadb' | 'mysql', version: string): BlockLayout | undefined {
  return knownLayouts.find((layout) => layout.product === product && layout.versions.test(version));
}
