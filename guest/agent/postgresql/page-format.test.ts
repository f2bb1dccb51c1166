import test from 'ava';
import fc from 'fast-check';
import { blockBytes, isEqualButHints, isPageHeader, pageChecksum } from './page-format.ts';

const page = (): Uint32Array => new Uint32Array(blockBytes / 4);

function headerWith(lower: number, upper: number, special: number, sizeAndVersion = 0x2004): Uint8Array {
  const bytes = Buffer.alloc(24);
  for (const [index, value] of [lower, upper, special, sizeAndVersion].entries())
    bytes.writeUInt16LE(value, 12 + 2 * index);
  return bytes;
}

test('a header has its limits in order, and the size and version of a page', (t) => {
  t.true(isPageHeader(headerWith(24, 8192, 8192)));
  t.true(isPageHeader(headerWith(8192, 8192, 8192)));
  t.false(isPageHeader(headerWith(23, 8192, 8192)));
  t.false(isPageHeader(headerWith(100, 99, 8192)));
  t.false(isPageHeader(headerWith(24, 8192, 8191)));
  t.false(isPageHeader(headerWith(24, 8192, 8193)));
  t.false(isPageHeader(headerWith(24, 8192, 8192, 0x4004)));
  t.false(isPageHeader(new Uint8Array(24)));
  t.false(isPageHeader(new Uint8Array(0)));
});

test('a checksum is of all bytes but its own two, and of the block number; the page stays as it is', (t) => {
  const state = new Uint32Array(32);
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: blockBytes - 1 }),
      fc.integer({ min: 1, max: 255 }),
      fc.nat(2 ** 32 - 1),
      (at, change, block) => {
        const words = page();
        const bytes = new Uint8Array(words.buffer);
        for (let index = 0; index < blockBytes; index++) bytes[index] = (index * 31) & 0xff;
        const before = pageChecksum(words, block, state);
        const copy = bytes.slice();
        copy[at] = (copy[at] ?? 0) ^ change;
        const after = pageChecksum(new Uint32Array(copy.buffer), block, state);
        const isOwn = at === 8 || at === 9;
        t.is(before === after, isOwn);
        t.true(before >= 1 && before <= 65535);
        t.is(copy[at], (bytes[at] ?? 0) ^ change);
      },
    ),
    // A change is seen but in one of 65535 cases.
    { seed: 1, numRuns: 200 },
  );
  t.not(pageChecksum(page(), 1, state), pageChecksum(page(), 2, state));
});

test('pages that differ in hints are of one version; with another LSN, limits or content they are not', (t) => {
  const bytes = new Uint8Array(page().buffer).map((_, index) => (index * 31) & 0xff);
  const isEqualWith = (at: number, bits: number): boolean =>
    isEqualButHints(
      bytes.map((byte, index) => (index === at ? byte ^ bits : byte)),
      bytes,
    );
  for (const at of [8, 9, 10, 11, 20, 23]) t.true(isEqualWith(at, 0xff), String(at));
  for (const at of [0, 7, 12, 19]) t.false(isEqualWith(at, 1), String(at));
  for (const at of [24, 26, 5000, blockBytes - 1]) {
    for (const bits of [1, 2, 4, 8, 15]) t.true(isEqualWith(at, bits), `${at}, ${bits}`);
    for (const bits of [0x10, 0x80, 0x21]) t.false(isEqualWith(at, bits), `${at}, ${bits}`);
  }
});
