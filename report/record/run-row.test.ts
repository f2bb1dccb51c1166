/** What is derived of single runs, held against the committed sets: values that once misled. */
import test from 'ava';
import { runsCsv } from '../../record/csv.ts';
import { recordedSet } from '../testing/recorded-set.ts';
import { efficiencyOf, parseRunRows, tpsRecoveryMsOf } from './run-row.ts';

test('efficiency counts compression, whoever compressed', async (t) => {
  const { runs } = await recordedSet('reference-2026-11-26-engines');
  const rangeOf = (engine: string): number[] => {
    const values = runs
      .filter(({ row }) => row.engine === engine)
      .map(({ row }) => efficiencyOf(row) ?? Number.NaN);
    return [Math.min(...values), Math.max(...values)].map((value) => Number(value.toFixed(2)));
  };
  t.deepEqual(rangeOf('precopy'), [0.47, 0.49]);
  t.deepEqual(rangeOf('multifd-zstd'), [0.7, 0.71]);
  t.deepEqual(rangeOf('balance'), [0.87, 0.94]);
});

test('arrivals at random are no recovery: of the memory row of 24 GiB nothing is told', async (t) => {
  const { runs } = await recordedSet('reference-2026-11-26');
  const loaded = runs.filter(({ row }) => row.paper_row_gib === 24 && row.scenario !== 'idle');
  t.is(loaded.length, 4);
  for (const { name, row } of loaded) {
    t.false(row.tps_recovery_measurable, name);
    t.is(tpsRecoveryMsOf(row), undefined, name);
  }
});

test('at full speed the fall is seen: until the end of the migration, or a few seconds longer', async (t) => {
  const { runs } = await recordedSet('reference-2026-11-30-full-speed');
  t.is(runs.length, 6);
  for (const { name, row } of runs) {
    t.true(row.tps_recovery_measurable, name);
    const recoveryMs = tpsRecoveryMsOf(row);
    t.true(Math.abs((recoveryMs ?? Number.NaN) - (row.total_time_ms ?? Number.NaN)) < 8000, name);
  }
});

test('a table of an older version, which does not say whether it was measurable, tells nothing', async (t) => {
  const { runs } = await recordedSet('reference-2026-11-30-full-speed');
  const [run] = runs;
  if (run === undefined) throw new Error('no run');
  t.is(tpsRecoveryMsOf({ ...run.row, tps_recovery_ms: 1000, tps_recovery_measurable: undefined }), undefined);
});

test('a table that a spreadsheet saved is read: a mark at its beginning, lines that end otherwise', async (t) => {
  const { runs } = await recordedSet('reference-2026-11-30-full-speed');
  const text = runsCsv(runs.map(({ row }) => row));
  t.deepEqual(parseRunRows(`\ufeff${text.replaceAll('\n', '\r\n')}`), parseRunRows(text));
});
