import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { configurationOf, runName } from '../../experiments/matrix.ts';
import { matricesOf } from '../../experiments/recipe.ts';
import { recipes } from '../../experiments/recipes/all.ts';
import { smoke } from '../../experiments/recipes/smoke.ts';
import { cellsOf } from '../record/cells.ts';
import { readSet, type Run } from '../record/read-set.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { writeSet } from '../testing/write-set.ts';
import { judgedClaims } from './judge.ts';
import { recipeBlock } from './recipe-block.ts';
import { readRecipeSet } from './recipe-set.ts';

const recorded = path.join(import.meta.dirname, '../../results/reference-2026-11-28-smoke');

const failedAs = (run: Run, name: string, row: Partial<Run['row']>): Run => ({
  ...run,
  name,
  manifest: { ...run.manifest, runId: `${run.manifest.runId}-${name}` },
  row: { ...run.row, outcome: 'failed', ...row },
});

test('runs that failed count where they refute a claim, also those that were made again, and nowhere else', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'recipe-set-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const { runs } = await readSet([recorded], { withoutSamples: true });
  const [precopy, restore] = ['precopy', 'restore'].map((engine) =>
    runs.find(({ row }) => row.engine === engine),
  );
  if (precopy === undefined || restore === undefined) throw new RangeError('no run');
  const verdicts = async (): Promise<string[]> => {
    const recipeSet = await readRecipeSet(smoke, [dir]);
    return judgedClaims(recipeSet).map(({ measured, verdict }) => `${measured}: ${verdict}`);
  };
  const good = 'holds-in-single-runs';
  const bad = 'does-not-hold-in-single-runs';
  await writeSet(dir, { runs: [precopy, restore] });
  t.deepEqual(await verdicts(), [`0: ${good}`, `2731: ${good}`, `0: ${good}`]);

  const attempt = failedAs(restore, `${restore.name}.failed-1`, {
    ram_pages_differing: 7,
    pages_restored: 0,
  });
  await writeSet(dir, { runs: [attempt] });
  t.deepEqual(await verdicts(), [`0 … 7: ${bad}`, `2731: ${good}`, `0: ${good}`]);

  await writeSet(dir, { runs: [failedAs(precopy, precopy.name, { ledger_lost: 2 })] });
  t.deepEqual(await verdicts(), [`0 … 7: ${bad}`, `2731: ${good}`, `0 … 2: ${bad}`]);
  const recipeSet = await readRecipeSet(smoke, [dir]);
  t.deepEqual(
    cellsOf(recipeSet.set).map((cell) => [cell.engine, cell.runs.length]),
    [
      ['precopy', 0],
      ['restore', 1],
    ],
  );
  const block = recipeBlock(recipeSet, [dir]).join('\n');
  t.true(block.includes('**1 of 2 runs**'));
  t.regex(block, /^\*\*Failed\*\*.*: `rw-4-precopy-r1`, `rw-4-restore-r1\.failed-1`\.$/m);
});

test('where every run of a set failed, that is said, with their names', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'recipe-set-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const { runs } = await readSet([recorded], { withoutSamples: true });
  await writeSet(dir, { runs: runs.map((run) => failedAs(run, run.name, {})) });
  await t.throwsAsync(readRecipeSet(smoke, [dir]), {
    code: 'not-readable',
    message: /every run of the recipe smoke in .* failed: rw-4-precopy-r1, rw-4-restore-r1; why is/,
  });
});

test('a run with another downtime limit, or without placement, is no run of a recipe; one from before either is', async (t) => {
  const { runs } = await readSet([recorded], { withoutSamples: true });
  const made = async (changes: Partial<Run['manifest']['configuration']>) => {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'recipe-set-'));
    t.teardown(() => rm(dir, { recursive: true }));
    const changed = runs.map((run) => ({
      ...run,
      manifest: { ...run.manifest, configuration: { ...run.manifest.configuration, ...changes } },
    }));
    await writeSet(dir, { runs: changed });
    return readRecipeSet(smoke, [dir]);
  };
  for (const [changes, said] of [
    [{ downtimeLimitMs: 10_000 }, /its downtimeLimitMs is 10000, the recipe's 300$/],
    [{ downtimeLimitMaxMs: 0 }, /its downtimeLimitMaxMs is 0, the recipe's 2000$/],
    [{ placement: 'off' }, /its placement is off, the recipe's on$/],
  ] as const)
    await t.throwsAsync(made(changes), { code: 'different-conditions', message: said });
  const { set } = await made({ downtimeLimitMaxMs: undefined, placement: undefined });
  t.is(set.runs.length, 2);
});

for (const recipe of recipes.filter(({ parts = [] }) => parts.length > 1))
  test(`${recipe.name}: a run is of the part that it was made for`, async (t) => {
    const [run] = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4], engines: ['restore'] }).runs;
    if (run === undefined) throw new RangeError('no run');
    const matrices = matricesOf(recipe);
    for (const [index, { options, runs }] of matrices.entries()) {
      const dir = await mkdtemp(path.join(os.tmpdir(), 'recipe-set-'));
      t.teardown(() => rm(dir, { recursive: true }));
      const made = runs.map((cell): Run => {
        const configuration = configurationOf(options, cell);
        const { scenario, engine, paperRowGib } = configuration;
        const row = { ...run.row, scenario, engine, paper_row_gib: paperRowGib, repeat: cell.repeat };
        const name = runName(cell);
        const manifest = { ...run.manifest, runId: name, configuration, repeat: cell.repeat };
        return { ...run, name, row, manifest };
      });
      await writeSet(dir, { runs: made });
      const { parts } = await readRecipeSet(recipe, [dir]);
      t.deepEqual(
        parts.map((part) => part.runs.length),
        matrices.map((_, other) => (other === index ? made.length : 0)),
      );
    }
  });
