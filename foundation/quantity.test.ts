import test from 'ava';
import * as quantity from './quantity.ts';

test('times, bytes and rates', (t) => {
  t.is(quantity.seconds(12_345), '12.3 s');
  t.is(quantity.inSeconds(12_345, 2), '12.35');
  t.is(quantity.milliseconds(7.6), '8 ms');
  t.is(quantity.megabytes(1_303_000_000), '1303 MB');
  t.is(quantity.megabytesPerSecond(15_100_000), '15.1 MB/s');
  t.is(quantity.megabitsPerSecond(125e6), '125 Mbit/s');
  t.is(quantity.megabitsPerSecond(12.5e6), '12.5 Mbit/s');
  t.is(quantity.mebibytes(1536 * 2 ** 20), '1536 MiB');
  t.is(quantity.gibibytes(1536 * 2 ** 20), '1.5 GiB');
  t.is(quantity.percent(0.934), '93 %');
});
