import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { readMeasuredRun } from './measured-run.ts';
import { modelErrors } from './model-error.ts';
import { simulate } from './simulate.ts';

const root = path.join(import.meta.dirname, '..', '..');

test('the error that the program prints is that of the blocks of docs/results.md', async (t) => {
  const page = await readFile(path.join(root, 'docs', 'results.md'), 'utf8');
  for (const [engine, stated] of Object.entries(modelErrors[0]?.engines ?? {})) {
    const rows = ['engines', 'paper-matrix'].flatMap((recipe) => {
      const block = page.split(`<!-- recipe ${recipe}: `)[1]?.split('<!-- /recipe -->')[0] ?? '';
      const table = block.split('\nPredicted over measured ')[1] ?? '';
      return [...table.matchAll(/^\| `([\w-]+)` *\| (\d+) *\| \S+ *\| (\S+) to (\S+) *\|$/gm)].filter(
        ([, method]) => method === engine,
      );
    });
    const [runs, lows, highs] = [2, 3, 4].map((column) => rows.map((row) => Number(row[column])));
    if (rows.length === 0) {
      t.is(stated, undefined, engine);
      continue;
    }
    t.deepEqual(stated, {
      runs: (runs ?? []).reduce((sum, count) => sum + count, 0),
      lowestPercent: Math.min(...(lows ?? [])),
      highestPercent: Math.max(...(highs ?? [])),
    });
  }
});

test('runs at the ends of the stated ranges are predicted as stated', async (t) => {
  const engines = modelErrors[0]?.engines;
  for (const folder of [
    'reference-2026-11-26/rw-4-precopy-r1',
    'reference-2026-11-26/rw-4-restore-r1',
    'reference-2026-11-26-engines/idle-16-balance-r3',
    'reference-2026-11-26-engines/rw-16-balance-r3',
    'reference-2026-11-26-engines/rw-16-multifd-zstd-r3',
    'reference-2026-11-26-engines/idle-16-multifd-zstd-r3',
  ]) {
    const { engine, totalTimeMs, setup } = await readMeasuredRun(path.join(root, 'results', folder));
    const percent = Math.round(100 * (simulate(engine, setup).totalTimeMs / totalTimeMs - 1));
    const { lowestPercent, highestPercent } = engines?.[engine] ?? {};
    t.true(percent === lowestPercent || percent === highestPercent, `${folder}: ${percent} %`);
  }
});
