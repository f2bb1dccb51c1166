import test from 'ava';
import { shapingArguments } from './shaping.ts';

test('the bucket grows with the rate, from 64 KiB', (t) => {
  const burstBytes = (rate: number) => Number(shapingArguments(rate)[4]);
  t.is(burstBytes(125e6), 65_536);
  t.is(burstBytes(250e6), 125_000);
  t.is(burstBytes(1e9), 262_144);
  t.is(burstBytes(10e9), 2_500_000);
  t.deepEqual(shapingArguments(undefined), ['pfifo_fast']);
  t.deepEqual(shapingArguments(125e6).slice(0, 3), ['tbf', 'rate', '125000000bit']);
});
