/** The header and the checksums of an InnoDB page (fil0types.h, buf0checksum.cc). Numbers in it are big-endian. */

/** FIL_PAGE_OFFSET: number of the page in its tablespace. */
export const pageNumberOffset = 4;
/** FIL_PAGE_LSN: 64 bits. */
const lsnOffset = 16;
/** Its lower half. */
const lsnLowOffset = 20;
/** BUF_NO_CHECKSUM_MAGIC: stands for the sum where innodb_checksum_algorithm is none. */
const noChecksum = 0xdead_beef;
/** FIL_PAGE_SPACE_ID. */
export const spaceIdOffset = 34;
/** Up to here the header reaches (FIL_PAGE_DATA). */
export const pageHeaderBytes = 38;

export function readU32(bytes: Uint8Array, offset: number): number {
  return (
    (((bytes[offset] ?? 0) << 24) |
      ((bytes[offset + 1] ?? 0) << 16) |
      ((bytes[offset + 2] ?? 0) << 8) |
      (bytes[offset + 3] ?? 0)) >>>
    0
  );
}

/** When the page was last changed. */
export function lsnOf(bytes: Uint8Array, start: number): number {
  return readU32(bytes, start + lsnOffset) * 2 ** 32 + readU32(bytes, start + lsnLowOffset);
}

/**
 * Whether a page has the checksum of its content: MariaDB's full_crc32 over all of it; or that of the format of MySQL and older
 * MariaDB tablespaces, which leaves out what is written after the sum, a CRC-32C or InnoDB's own of before (the default up to
 * MySQL 5.7.6 and MariaDB 10.2.1, whose pages stay as they are until they are written again).
 *
 * A page that says it has none (innodb_checksum_algorithm=none) is valid if both of its LSNs agree. In MariaDB that proves that it
 * was not changed since, as a change puts another LSN into the header (mtr0mtr.cc of 10.6 and later). In MySQL it proves nothing: a
 * page gets both when it is written (buf_flush_init_for_writing of buf0flu.cc). What is listed for it is a hint, as all is.
 */
export function hasValidChecksum(bytes: Uint8Array, start: number, pageSize: number): boolean {
  const end = start + pageSize;
  // Cheap first: both formats repeat the LSN's low half in the trailer, at another place each; memory without any page has zeros.
  const lsn = readU32(bytes, start + lsnLowOffset);
  const trailer = readU32(bytes, end - 8);
  const fullSum = readU32(bytes, end - 4);
  if (lsn === 0 && fullSum === 0) return false;
  if (trailer === lsn && crc32c(bytes, start, end - 4) === fullSum) return true;
  if (fullSum !== lsn) return false;
  const stored = readU32(bytes, start);
  // The other two sums stand in both places.
  if (stored === trailer) {
    if (stored === noChecksum) return true;
    const sum = crc32c(bytes, start + 4, start + 26) ^ crc32c(bytes, start + pageHeaderBytes, end - 8);
    if (sum >>> 0 === stored) return true;
  }
  // buf_calc_page_old_checksum, of few bytes, and buf_calc_page_new_checksum.
  if (foldBinary(bytes, start, start + 26) !== trailer) return false;
  const sum = foldBinary(bytes, start + 4, start + 26) + foldBinary(bytes, start + pageHeaderBytes, end - 8);
  return sum >>> 0 === stored;
}

/** UT_HASH_RANDOM_MASK and UT_HASH_RANDOM_MASK2 (ut0rnd.ic). */
const foldMask = 1463735687;
const foldMask2 = 1653893711;

/** ut_fold_binary of bytes [start, end), of which pages have the low 32 bits: these depend on no others. */
export function foldBinary(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    sum = (((((sum ^ byte ^ foldMask2) << 8) + sum) ^ foldMask) + byte) | 0;
  }
  return sum >>> 0;
}

const tables = makeTables();

function makeTables(): Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
    first[byte] = crc;
  }
  const all = [first];
  for (let shift = 1; shift < 8; shift++) {
    const previous = all[shift - 1] ?? first;
    all.push(previous.map((crc) => (crc >>> 8) ^ (first[crc & 0xff] ?? 0)));
  }
  return all;
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

/**
 * CRC-32C (Castagnoli) of bytes [start, end), eight at a time: Node 18 has none of its own. Its bulk is read as little-endian
 * words, so that `bytes` should begin at a multiple of four in its buffer; elsewhere it takes several times as long.
 */
export function crc32c(bytes: Uint8Array, start: number, end: number): number {
  const isAligned = bytes.byteOffset % 4 === 0;
  const bulkStart = isAligned ? Math.min(end, Math.ceil(start / 4) * 4) : end;
  const bulkEnd = bulkStart + Math.floor((end - bulkStart) / 8) * 8;
  let crc = addBytes(-1, bytes, start, bulkStart);
  if (bulkEnd > bulkStart) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    crc = addWords(crc, words, bulkStart / 4, bulkEnd / 4);
  }
  return ~addBytes(crc, bytes, bulkEnd, end) >>> 0;
}

// The tables have 256 entries and every place looked at lies below the end, so all look-ups are within bounds; the checks that
// `?? 0` would add cost a third of the speed here.
/* eslint-disable @typescript-eslint/no-non-null-assertion */

function addBytes(before: number, bytes: Uint8Array, start: number, end: number): number {
  let crc = before;
  for (let at = start; at < end; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!;
  return crc;
}

/** @param end an even number of words behind `start` */
function addWords(before: number, words: Int32Array, start: number, end: number): number {
  let crc = before;
  for (let at = start; at < end; at += 2) {
    const low = words[at]! ^ crc;
    const high = words[at + 1]!;
    crc =
      t7[low & 0xff]! ^
      t6[(low >>> 8) & 0xff]! ^
      t5[(low >>> 16) & 0xff]! ^
      t4[low >>> 24]! ^
      t3[high & 0xff]! ^
      t2[(high >>> 8) & 0xff]! ^
      t1[(high >>> 16) & 0xff]! ^
      t0[high >>> 24]!;
  }
  return crc;
}
/* eslint-enable @typescript-eslint/no-non-null-assertion */
