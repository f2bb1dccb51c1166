import test from 'ava';
import { tpsRecovery, type TpsRecovery } from './tps-recovery.ts';

/** One value a second; the command comes after `before` of them. */
function recovery(
  values: readonly number[],
  before: number,
  endSecond: number,
  { tpsBefore = 100, rateTps = 0 } = {},
): TpsRecovery {
  return tpsRecovery({
    tps: values.map((value, index) => ({ tMs: (index + 1) * 1000, value })),
    beforeFromMs: 0,
    tpsBefore,
    rateTps,
    // Just after a second has ended, so that this second is before the command.
    commandMs: before * 1000 + 1,
    endMs: (before + endSecond) * 1000,
  });
}

const of = (count: number, value: number): number[] => Array<number>(count).fill(value);
const after = (afterMs: number): TpsRecovery => ({ kind: 'recovered', afterMs });
const slow = { tpsBefore: 8, rateTps: 8 };

test('throughput that never falls has recovered at once', (t) => {
  t.deepEqual(recovery(of(30, 100), 10, 5), after(0));
});

test('throughput is back at the end of the last low second', (t) => {
  t.deepEqual(recovery([...of(10, 100), ...of(5, 50), ...of(20, 100)], 10, 5), after(5000 - 1));
});

test('good seconds before a dip, and between two dips, are not recovery', (t) => {
  const values = [...of(10, 100), ...of(10, 100), ...of(3, 0), ...of(4, 100), ...of(2, 0), ...of(20, 100)];
  t.deepEqual(recovery(values, 10, 12), after(19_000 - 1));
});

test('a dip at the switchover is waited for, however long the time before was good', (t) => {
  const values = [...of(10, 100), ...of(40, 100), ...of(2, 0), ...of(20, 100)];
  t.deepEqual(recovery(values, 10, 41), after(42_000 - 1));
});

test('what falls long after the migration is not its doing', (t) => {
  const values = [...of(10, 100), ...of(5, 50), ...of(40, 100), ...of(9, 0)];
  t.deepEqual(recovery(values, 10, 5), after(5000 - 1));
});

test('no recovery within the record', (t) => {
  t.deepEqual(recovery([...of(10, 100), ...of(20, 50)], 10, 5), { kind: 'not-recovered' });
  const tooShort = [...of(10, 100), ...of(5, 50), ...of(4, 100)];
  t.deepEqual(recovery(tooShort, 10, 5), { kind: 'not-recovered' }, 'not 5 s yet');
});

test('arrivals at random hide a short fall, however calm the seconds before were', (t) => {
  const dip = [...of(30, 8), 4, 4, ...of(30, 8)];
  t.deepEqual(recovery(dip, 30, 10, slow), { kind: 'within-noise' });
  t.deepEqual(recovery(dip, 30, 10, { tpsBefore: 8 }), after(2000 - 1));
});

test('half of the throughput for a minute is no noise', (t) => {
  t.deepEqual(recovery([...of(30, 8), ...of(60, 4), ...of(30, 8)], 30, 60, slow), after(60_000 - 1));
});

test('a backlog that is worked off before the command is not what throughput is held against', (t) => {
  const rates = [...of(30, 12), ...of(60, 8)];
  t.deepEqual(recovery(rates, 30, 50, { tpsBefore: 12, rateTps: 8 }), { kind: 'within-noise' });
});

test('from few seconds before the command nothing is told', (t) => {
  t.deepEqual(recovery([...of(5, 100), ...of(30, 50)], 5, 20), { kind: 'within-noise' });
});
