import test from 'ava';
import fc from 'fast-check';
import { PageHashes } from './page-hashes.ts';

const step = fc.record({
  remove: fc.boolean(),
  page: fc.oneof(fc.nat(50), fc.nat(2 ** 28), fc.constantFrom(0, 2 ** 32 - 2)),
  low: fc.nat(3),
  high: fc.constantFrom(0, 1, 2 ** 32 - 1),
});

test('holds what a Map holds, through any changes', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const hashes = new PageHashes();
      const model = new Map<number, readonly [number, number]>();
      for (const { remove, page, low, high } of steps) {
        if (remove) {
          hashes.delete(page);
          model.delete(page);
        } else {
          hashes.set(page, low, high);
          model.set(page, [low, high]);
        }
        if (hashes.count !== model.size) return false;
      }
      return steps.every(({ page, low, high }) => {
        const [knownLow, knownHigh] = model.get(page) ?? [];
        return hashes.has(page, low, high) === (knownLow === low && knownHigh === high);
      });
    }),
  );
  t.pass();
});

test('grows with its pages and gives memory back when they go', (t) => {
  const hashes = new PageHashes();
  const emptyBytes = hashes.bytes;
  const count = 100_000;
  // Far apart, as the frames of a pool; in pairs.
  const pageOf = (i: number): number => Math.floor(i / 2) * 4096 + (i % 2);
  for (let i = 0; i < count; i++) hashes.set(pageOf(i), i, count - i);
  t.is(hashes.count, count);
  t.true(hashes.bytes >= count * 12);
  t.true(hashes.bytes <= count * 12 * 3);
  let found = 0;
  for (let i = 0; i < count; i++) if (hashes.has(pageOf(i), i, count - i)) found += 1;
  t.is(found, count);
  for (let i = 0; i < count; i += 2) hashes.delete(pageOf(i));
  found = 0;
  for (let i = 0; i < count; i++) if (hashes.has(pageOf(i), i, count - i)) found += 1;
  t.is(found, count / 2);
  for (let i = 1; i < count; i += 2) hashes.delete(pageOf(i));
  t.is(hashes.count, 0);
  t.is(hashes.bytes, emptyBytes);
});
