import test from 'ava';
import type { Recipe } from '../../experiments/recipe.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { recipeBlock } from './recipe-block.ts';

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
  const lines = recipeBlock({ recipe, set: { ...set, runs }, parts, wanted: 3 }, ['results/made-up'])
    .join('\n')
    .split('\n');
  const cells = lines
    .find((line) => line.startsWith('| 8 '))
    ?.split('|')
    .map((cell) => cell.trim());
  t.deepEqual(cells?.slice(4, -1), ['1 of 3 converged', 'no (no to yes)', '60.0', '2000', '4 (0 to 4)']);
});
