import test from 'ava';
import { shrinkingSizes } from './shrink.ts';

const mib = (sizes: readonly number[]): number[] => sizes.map((bytes) => bytes / 2 ** 20);

test('a pool shrinks by halves, in whole extents, to its share', (t) => {
  t.deepEqual(mib(shrinkingSizes(1632 * 2 ** 20, 1 / 8)), [816, 408, 208]);
  t.deepEqual(mib(shrinkingSizes(224 * 2 ** 20, 1 / 8)), [112, 56, 32]);
});

test('a pool of its share already stays as it is', (t) => {
  t.deepEqual(shrinkingSizes(64 * 2 ** 20, 1), []);
});
