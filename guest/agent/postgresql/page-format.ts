/** PostgreSQL's page, as far as the agent looks at it (src/include/storage/bufpage.h, little-endian), and its checksum. */

/** BLCKSZ as it is built, everywhere but for experiments. */
export const blockBytes = 8192;
/** PageHeaderData without its item pointers. */
export const pageHeaderBytes = 24;
/** pd_checksum */
export const checksumOffset = 8;

const offsets = { lower: 12, upper: 14, special: 16, sizeAndVersion: 18 } as const;
/** PG_PAGE_LAYOUT_VERSION, since 8.3. */
const layoutVersion = 4;

export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

/** Whether a page begins there: its size and version, and limits in the order that PageIsVerified asks for. */
export function isPageHeader(bytes: Uint8Array): boolean {
  const lower = readU16(bytes, offsets.lower);
  const upper = readU16(bytes, offsets.upper);
  const special = readU16(bytes, offsets.special);
  return (
    readU16(bytes, offsets.sizeAndVersion) === (blockBytes | layoutVersion) &&
    lower >= pageHeaderBytes &&
    lower <= upper &&
    upper <= special &&
    special <= blockBytes
  );
}

/** HEAP_XMIN_COMMITTED to HEAP_XMAX_INVALID in the upper byte of t_infomask, and LP_DEAD's bit of a line pointer (htup_details.h, itemid.h). */
const hintBits = 0x0f;

/**
 * Whether two copies of a page differ in nothing but its checksum and hints. A standby whose files have checksums, or with
 * wal_log_hints, sets hints in its buffers without marking them as dirty (MarkBufferDirtyHint of bufmgr.c), so that all of
 * its clean pages may have other hints than their files. In the header pd_checksum, pd_flags and pd_prune_xid are such.
 */
export function isEqualButHints(page: Uint8Array, other: Uint8Array): boolean {
  const hasHints = (at: number): boolean => (at >= 8 && at < 12) || (at >= 20 && at < pageHeaderBytes);
  for (let at = 0; at < pageHeaderBytes; at++) if (!hasHints(at) && page[at] !== other[at]) return false;
  for (let at = pageHeaderBytes; at < blockBytes; at++)
    if ((((page[at] ?? 0) ^ (other[at] ?? 0)) & ~hintBits) !== 0) return false;
  return true;
}

/** N_SUMS, FNV_PRIME, and where the sums begin (src/include/storage/checksum_impl.h). */
const sums = 32;
const prime = 16777619;
const basis = Uint32Array.of(
  ...[0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c],
  ...[0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb],
  ...[0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4],
  ...[0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756],
);

/**
 * pg_checksum_page: what a page's file has in pd_checksum, where the server has checksums.
 * @param page blockBytes / 4 words
 * @param block number of the page in its relation's fork, over all files
 * @param state room for 32 words
 */
export function pageChecksum(page: Uint32Array, block: number, state: Uint32Array): number {
  state.set(basis);
  // pd_checksum counts as 0; what lies behind it in the same word, pd_flags, does not.
  const held = page[checksumOffset / 4] ?? 0;
  page[checksumOffset / 4] = held & 0xffff0000;
  const words = blockBytes / 4;
  for (let at = 0; at < words; at += sums) {
    for (let lane = 0; lane < sums; lane++) {
      const mixed = (state[lane] ?? 0) ^ (page[at + lane] ?? 0);
      state[lane] = Math.imul(mixed, prime) ^ (mixed >>> 17);
    }
  }
  page[checksumOffset / 4] = held;
  let result = 0;
  for (let lane = 0; lane < sums; lane++) {
    let sum = state[lane] ?? 0;
    for (let round = 0; round < 2; round++) sum = (Math.imul(sum, prime) ^ (sum >>> 17)) >>> 0;
    result ^= sum;
  }
  return (((result ^ block) >>> 0) % 65535) + 1;
}
