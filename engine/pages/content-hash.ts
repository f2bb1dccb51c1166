/**
 * The 64-bit hash by which the destination engine tells whether a block of shared storage is the page that the source
 * left out: XXH64 with seed 0. It guards against stale blocks, not against an adversary.
 */
import xxhash from 'xxhash-wasm';
import { pageSizeBytes } from './page-list.ts';

const hasher = await xxhash();

// WebAssembly gives 64 bits as a BigInt; going through memory splits one for less than arithmetic on BigInts costs.
const digest = new BigUint64Array(1);
const halves = new Uint32Array(digest.buffer);

/**
 * Hashes the 4096 bytes at `offset` in `buffer` and puts the hash into `into`: its low 32 bits at `index`, its high 32
 * bits at `index + 1`.
 */
export function hashPage(buffer: Uint8Array, offset: number, into: Uint32Array, index: number): void {
  digest[0] = hasher.h64Raw(buffer.subarray(offset, offset + pageSizeBytes));
  // Both halves exist; x86 and arm64 are little-endian.
  into[index] = halves[0] ?? 0;
  into[index + 1] = halves[1] ?? 0;
}
