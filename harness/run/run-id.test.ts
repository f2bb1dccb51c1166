import test from 'ava';
import { setNameOf } from './run-id.ts';

test('matrices that are started within a second have sets of their own', (t) => {
  const [first, second] = [0, 1].map((ms) => setNameOf(new Date(Date.UTC(2026, 10, 24, 19, 23, 0, ms))));
  t.is(first, 'matrix-2026-11-24T192300.000');
  t.not(first, second);
});
