/**
 * Pages that XXH64, with which this engine began, takes for equal, made without knowing what the pages hold beside: what
 * somebody who writes rows can do to a hash without a key.
 */

const mask = (1n << 64n) - 1n;
/** Of the xxHash specification. */
const prime1 = 0x9e3779b185ebca87n;
const prime2 = 0xc2b2ae3d27d4eb4fn;

/** Bytes of the value that changes. */
export const twinValueBytes = 40;

/**
 * Two values of which either may stand at `at` of any page, a multiple of 8. A word of 64 bits goes into one of four sums
 * (+ word * prime2, rotated by 31, * prime1), and the word 32 bytes further is the next of that sum. Another top bit in the
 * first changes the sum by 2^30 * prime1, up or down as its bits happen to be; the other word takes the one of these back, so that
 * half of all pages have one XXH64 with both values.
 */
function twinValues(seed: bigint): readonly [Buffer, Buffer] {
  const first = Buffer.alloc(twinValueBytes);
  for (let at = 0; at < twinValueBytes; at += 8) {
    first.writeBigUInt64LE((seed * prime1 + BigInt(at) * prime2) & mask, at);
  }
  const second = Buffer.from(first);
  second.writeBigUInt64LE(first.readBigUInt64LE(0) ^ (1n << 63n), 0);
  const takeBack = (1n << 30n) * prime1 * inverse(prime2);
  second.writeBigUInt64LE((first.readBigUInt64LE(32) + takeBack) & mask, 32);
  return [first, second];
}

/** Modulo 2^64, of an odd number: each step doubles the bits that are right. */
function inverse(odd: bigint): bigint {
  let found = odd;
  for (let step = 0; step < 6; step++) found = (found * (2n - odd * found)) & mask;
  return found;
}

/** The page with the first value written at `at`, and with the second. */
export function twins(page: Buffer, at: number, seed: bigint): readonly [Buffer, Buffer] {
  const [first, second] = twinValues(seed);
  const before = page.subarray(0, at);
  const after = page.subarray(at + twinValueBytes);
  return [Buffer.concat([before, first, after]), Buffer.concat([before, second, after])];
}
