/**
 * How InnoDB's block descriptors (buf_block_t) lie in memory. Nothing but the compiled server says so: the numbers come
 * from looking at running servers, and a layout is used only after its pages proved to be what it says they are
 * (descriptors.ts).
 */
export interface BlockLayout {
  readonly product: 'mariadb' | 'mysql';
  /** Versions it was seen in; others are tried too, after those that name theirs. */
  readonly versions: RegExp;
  /** Distance from one descriptor to the next. */
  readonly strideBytes: number;
  /** u32: tablespace id and page number. */
  readonly spaceOffset: number;
  readonly pageOffset: number;
  /** u64: address of the page's content. */
  readonly frameOffset: number;
  /** u64 `oldest_modification`: the page is equal to its file when it is not above `cleanUpTo`. */
  readonly modifiedOffset: number;
  readonly cleanUpTo: number;
  /** u32 with the state; the block holds a page of a file when `word & mask` is within [first, last]. */
  readonly state: {
    readonly offset: number;
    readonly mask: number;
    readonly first: number;
    readonly last: number;
  };
  /** Where arrays of descriptors begin. */
  readonly arrays: ArrayPlacement;
}

type ArrayPlacement =
  /** At every multiple of `alignmentBytes`: each extent of the pool begins with the descriptors of its own frames. */
  | { readonly kind: 'extents'; readonly alignmentBytes: number }
  /** `offsetBytes` into each chunk, a memory area of its own that may touch the next one. */
  | { readonly kind: 'chunks'; readonly offsetBytes: number };

export const layouts: readonly BlockLayout[] = [
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
    arrays: { kind: 'extents', alignmentBytes: 8 * 1024 * 1024 },
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
    arrays: { kind: 'chunks', offsetBytes: 4096 },
  },
];

/** The layouts to try for a server, the likeliest first. */
export function layoutsFor(product: 'mariadb' | 'mysql', version: string): BlockLayout[] {
  return layouts
    .filter((layout) => layout.product === product)
    .sort((a, b) => Number(b.versions.test(version)) - Number(a.versions.test(version)));
}
