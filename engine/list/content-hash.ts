/**
 * The hash of 64 bits by which the destination engine tells whether a block of shared storage is the page that the source
 * left out, and the source whether QEMU's record of a page says what the plan said. Whoever writes rows writes pages, and
 * could have both sides of such a comparison differ as he likes: so it is a universal hash, with a key that the source engine
 * draws for each migration and tells the destination alone. No key, no hash and no result of a comparison gets to a guest.
 *
 * Two different pages, chosen in whatever way without knowing the key, have the same hash with a probability of 2^-63 at
 * most, over the choice of the key:
 *
 * - NH of words of 32 bits (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999) gives two different
 *   messages of one length the same 64 bits with a probability of 2^-32 at most; two of them with keys of their own, 2^-64;
 * - Multilinear (Lemire, Kaser: Strongly universal string hashing is fast) gives two different strings, here
 *   those 128 bits, the same 32 bits with a probability of 2^-32; two of them with keys of their own, 2^-64.
 *
 * For n comparisons it is n times that: 2^-43 for a guest of 4 GiB each page of which is stale, and 2^-35 for the longest list
 * there is. That one comparison comes after another gives nothing away: whoever made the pages knew that they differ. It is no
 * authenticator: who knows the key, or hashes of many pages, makes pages of equal hash. Both cross the connection between the
 * engines only, and stand in the destination's recovery file, which its user alone can read.
 *
 * The keys of the four parts are 8272 bytes of AES-256 in counter mode, under the key of the migration.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { hashAt, hashModule, keyBytes, keysAt } from './hash-module.ts';
import { pageSizeBytes } from './page-list.ts';

export const hashKeyBytes = 32;

/** A key for one migration. */
export function randomHashKey(): Buffer {
  return randomBytes(hashKeyBytes);
}

/** The part of it that is used: TypeScript knows the types for browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => {
    readonly exports: { readonly memory: { readonly buffer: ArrayBuffer }; readonly hash: () => void };
  };
};

const module = new WebAssembly.Module(hashModule());

export class PageHasher {
  readonly #memory: Uint8Array;
  readonly #halves: Uint32Array;
  readonly #run: () => void;

  /** @param key of `hashKeyBytes` bytes */
  constructor(key: Uint8Array) {
    const { memory, hash } = new WebAssembly.Instance(module).exports;
    this.#memory = new Uint8Array(memory.buffer);
    this.#halves = new Uint32Array(memory.buffer, hashAt, 2);
    this.#run = hash;
    const expand = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
    this.#memory.set(expand.update(Buffer.alloc(keyBytes)), keysAt);
  }

  /**
   * Hashes the 4096 bytes at `offset` in `buffer` and puts the hash into `into`: one half at `index`, the other at
   * `index + 1`.
   */
  hashPage(buffer: Uint8Array, offset: number, into: Uint32Array, index: number): void {
    this.#memory.set(buffer.subarray(offset, offset + pageSizeBytes));
    this.#run();
    // Both halves exist.
    into[index] = this.#halves[0] ?? 0;
    into[index + 1] = this.#halves[1] ?? 0;
  }
}
