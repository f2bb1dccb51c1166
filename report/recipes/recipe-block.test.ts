import test from 'ava';
import type { Recipe } from '../../experiments/recipe.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { recipeBlock } from './recipe-block.ts';
import type { RecipeSet } from './recipe-set.ts';

const recipe: Recipe = {
  name: 'made-up',
  title: 'Made up',
  question: 'What?',
  scenarios: ['rw'],
  mems: ['8'],
  engines: ['precopy'],
  repeat: 3,
  conditions: { before: 1, after: 1 },
  tables: [{ caption: 'All', columns: ['converged', 'total', 'migration-link', 'commits-lost'] }],
  claims: [],
  figures: [],
};

/** The cells of the only row of a block's table, from the number of runs on. */
const rowOf = (recipeSet: RecipeSet): string[] =>
  recipeBlock(recipeSet, ['results/made-up'])
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('| 8 '))
    .flatMap((line) => line.split('|').slice(4, -1))
    .map((cell) => cell.trim());

test('where some runs converged a cell’s numbers are of these, but for what was lost', (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], engines: ['precopy'], repeats: 3 });
  const runs = set.runs.map((run) => {
    const isCut = run.row.repeat > 1;
    const row = { ...run.row, converged: !isCut, ledger_lost: isCut ? 4 : 0, migration_link_bytes: 2e9 };
    if (!isCut) return { ...run, row: { ...row, total_time_ms: 60_000 } };
    const cut = { outcome: 'not-converged' as const, total_time_ms: undefined, migration_link_bytes: 9e9 };
    return { ...run, row: { ...row, ...cut } };
  });
  const parts = [{ title: '', mems: recipe.mems, runs, failed: [] }];
  t.deepEqual(rowOf({ recipe, set: { ...set, runs }, parts, wanted: 3 }), [
    '1 of 3 converged',
    'no (no to yes)',
    '60.0',
    '2000',
    '4 (0 to 4)',
  ]);
});

test('a cell says of how many runs throughput did not come back', (t) => {
  const withTps: Recipe = { ...recipe, tables: [{ caption: 'All', columns: ['tps-back'] }] };
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], engines: ['precopy'], repeats: 3 });
  const cellOf = (recoveriesMs: readonly (number | undefined)[]): string | undefined => {
    const runs = set.runs.map((run, index) => ({
      ...run,
      row: { ...run.row, tps_recovery_measurable: true, tps_recovery_ms: recoveriesMs[index] },
    }));
    const parts = [{ title: '', mems: recipe.mems, runs, failed: [] }];
    return rowOf({ recipe: withTps, set: { ...set, runs }, parts, wanted: 3 }).at(-1);
  };
  t.is(cellOf([12_000, 12_000, undefined]), '12.0; not back in 1 of 3');
  t.is(cellOf([undefined, undefined, undefined]), 'not back in 3 of 3');
  t.is(cellOf([12_000, 12_000, 12_000]), '12.0');
});

test('parts that differ in nothing that a row says are told apart in each line; a page is waited for or has no wait', (t) => {
  const withWait: Recipe = { ...recipe, tables: [{ caption: 'All', columns: ['faults', 'fault-p99'] }] };
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8], engines: ['precopy'], repeats: 1 });
  const parts = ['before', 'after'].map((title, index) => ({
    title,
    mems: recipe.mems,
    runs: set.runs.map((run) => ({ ...run, row: { ...run.row, faults: index, fault_p99_ms: 7 * index } })),
    failed: [],
  }));
  const lines = recipeBlock({ recipe: withWait, set, parts, wanted: 2 }, ['results/made-up'])
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  t.deepEqual(
    lines.filter(([, first]) => first === 'before' || first === 'after').map((cells) => cells.slice(1, -1)),
    [
      ['before', '8', 'rw', '`precopy`', '1', '0', ''],
      ['after', '8', 'rw', '`precopy`', '1', '1', '7.0'],
    ],
  );
});
