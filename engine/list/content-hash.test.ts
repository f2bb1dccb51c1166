import { createCipheriv, randomBytes } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import xxhash from 'xxhash-wasm';
import { hashKeyBytes, PageHasher, randomHashKey } from './content-hash.ts';
import { twins, twinValueBytes } from './xxh64-twins.fixture.ts';

const xxh64 = await xxhash();

function hash(hasher: PageHasher, buffer: Buffer, offset = 0): string {
  const halves = Uint32Array.of(1, 1, 1, 1);
  hasher.hashPage(buffer, offset, halves, 1);
  if (halves[0] !== 1 || halves[3] !== 1) throw new Error('more was written than the hash');
  return [halves[1] ?? 0, halves[2] ?? 0].map((half) => half.toString(16).padStart(8, '0')).join('');
}

/** The same after the definitions of NH and Multilinear, a word at a time. */
function hashByDefinition(key: Buffer, page: Buffer): string {
  const keys = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(2 * 4096 + 2 * 40));
  const word = (bytes: Buffer, at: number): bigint => BigInt(bytes.readUInt32LE(at));
  const modulo64 = (value: bigint): bigint => BigInt.asUintN(64, value);
  const modulo32 = (value: bigint): bigint => BigInt.asUintN(32, value);
  const sums = [0n, 0n];
  for (let half = 0; half < 2; half++) {
    for (let at = 0; at < 4096; at += at % 32 === 12 ? 20 : 4) {
      const factor = (i: number): bigint => modulo32(word(page, i) + word(keys, 4096 * half + i));
      sums[half] = modulo64((sums[half] ?? 0n) + factor(at) * factor(at + 16));
    }
  }
  const words = sums.flatMap((sum) => [modulo32(sum), sum >> 32n]);
  return [0, 1]
    .map((half) => {
      const lastKey = (index: number): bigint => keys.readBigUInt64LE(8192 + 40 * half + 8 * index);
      const sum = words.reduce((all, value, index) => modulo64(all + value * lastKey(index + 1)), lastKey(0));
      return (sum >> 32n).toString(16).padStart(8, '0');
    })
    .join('');
}

test('is what its definition says, for any key and page', (t) => {
  const page = fc.oneof(
    fc.uint8Array({ minLength: 4096, maxLength: 4096 }),
    // Carries: words of ones, of zeros, and few others.
    fc.array(fc.constantFrom(0, 0xff, 0x80, 1), { minLength: 4096, maxLength: 4096 }),
  );
  const key = fc.uint8Array({ minLength: hashKeyBytes, maxLength: hashKeyBytes });
  fc.assert(
    fc.property(key, page, (keyBytes, bytes) => {
      t.is(
        hash(new PageHasher(keyBytes), Buffer.from(bytes)),
        hashByDefinition(Buffer.from(keyBytes), Buffer.from(bytes)),
      );
    }),
    { numRuns: 100 },
  );
});

test('looks at every bit of the page and at nothing else, wherever it lies', (t) => {
  const hasher = new PageHasher(randomHashKey());
  const page = randomBytes(4096);
  const around = Buffer.concat([Buffer.alloc(13, 1), page, Buffer.alloc(5, 2)]);
  const own = hash(hasher, page);
  t.is(hash(hasher, around, 13), own);
  const others = new Set<string>();
  for (let bit = 0; bit < 4096 * 8; bit++) {
    const mask = 1 << (bit & 7);
    page.writeUInt8(page.readUInt8(bit >>> 3) ^ mask, bit >>> 3);
    others.add(hash(hasher, page));
    page.writeUInt8(page.readUInt8(bit >>> 3) ^ mask, bit >>> 3);
  }
  t.is(others.size, 4096 * 8);
  t.false(others.has(own));
});

test('another key is another hash, two hashers of one key are the same, and each keeps its own', (t) => {
  const [key, otherKey] = [randomHashKey(), randomHashKey()];
  const page = randomBytes(4096);
  const [one, other, again] = [key, otherKey, key].map((each) => new PageHasher(each));
  if (one === undefined || other === undefined || again === undefined) throw new Error('three were made');
  t.not(hash(one, page), hash(other, page));
  t.is(hash(one, page), hash(again, page));
  t.not(key.toString('hex'), otherKey.toString('hex'));
});

test('a key of another length is refused', (t) => {
  for (const length of [0, 16, 31, 33]) t.throws(() => new PageHasher(Buffer.alloc(length)));
});

test('pages that are made to have one XXH64 have two hashes', (t) => {
  let equalByXxh64 = 0;
  for (let run = 0; run < 2000; run++) {
    const at = 8 * (run % Math.floor((4096 - twinValueBytes) / 8));
    const [first, second] = twins(randomBytes(4096), at, BigInt(run));
    if (xxh64.h64Raw(first) !== xxh64.h64Raw(second)) continue;
    equalByXxh64 += 1;
    const hasher = new PageHasher(randomHashKey());
    t.not(hash(hasher, first), hash(hasher, second));
  }
  t.true(equalByXxh64 > 500, `${equalByXxh64} pairs of one XXH64`);
});
