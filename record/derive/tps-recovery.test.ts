import test from 'ava';
import { tpsRecoveryMs } from './tps-recovery.ts';

/** One value a second; the command comes after `before` of them. */
function recovery(values: readonly number[], before: number, endSecond: number, tpsBefore = 100) {
  return tpsRecoveryMs({
    tps: values.map((value, index) => ({ tMs: (index + 1) * 1000, value })),
    beforeFromMs: 0,
    tpsBefore,
    // Just after a second has ended, so that this second is before the command.
    commandMs: before * 1000 + 1,
    endMs: (before + endSecond) * 1000,
  });
}

const of = (count: number, value: number): number[] => Array<number>(count).fill(value);

test('throughput that never falls has recovered at once', (t) => {
  t.is(recovery(of(30, 100), 10, 5), 0);
});

test('the last low second counts, smoothed over three', (t) => {
  // Seconds 11 to 15 are slow. With neighbours, 10 to 16 are below 90; 10 is before the command.
  t.is(recovery([...of(10, 100), ...of(5, 50), ...of(20, 100)], 10, 5), 6000 - 1);
});

test('good seconds before a dip, and between two dips, are not recovery', (t) => {
  const values = [...of(10, 100), ...of(10, 100), ...of(3, 0), ...of(4, 100), ...of(2, 0), ...of(20, 100)];
  // The second dip is seconds 28 and 29, smoothed 27 to 30; the four good seconds are too few.
  t.is(recovery(values, 10, 12), 20_000 - 1);
});

test('a dip at the switchover is waited for, however long the time before was good', (t) => {
  const values = [...of(10, 100), ...of(40, 100), ...of(2, 0), ...of(20, 100)];
  t.is(recovery(values, 10, 41), 43_000 - 1);
});

test('no recovery within the record', (t) => {
  t.is(recovery([...of(10, 100), ...of(20, 50)], 10, 5), undefined);
  t.is(recovery([...of(10, 100), ...of(5, 50), ...of(5, 100)], 10, 5), undefined, 'not 5 s yet');
});

test('what varies as much before the migration is no dip', (t) => {
  const wave = Array.from({ length: 40 }, (_, index): number => (index % 6 < 3 ? 5 : 11));
  t.is(recovery(wave, 12, 10, 8), 0);
  // Nothing in seconds 21 and 22: smoothed, 20 to 22 are below the lowest of before, which is 5.
  t.is(recovery(wave.with(20, 0).with(21, 0), 12, 10, 8), 10_000 - 1);
});
