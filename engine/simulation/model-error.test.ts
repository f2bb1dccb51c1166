import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { readMeasuredRun } from './measured-run.ts';
import { modelErrors, modelErrorTable } from './model-error.ts';
import { simulate } from './simulate.ts';

const root = path.join(import.meta.dirname, '..', '..');

test('docs/predict.md states the error that the program prints', async (t) => {
  const lines = (await readFile(path.join(root, 'docs', 'predict.md'), 'utf8')).split('\n');
  const cells = lines.map((line) => line.split('|').slice(1, -1));
  const rows = cells.map((row) => row.map((cell) => cell.replaceAll('`', '').trim()).join(' | '));
  for (const row of modelErrorTable()) t.true(rows.includes(row.join(' | ')), row.join(' | '));
});

test('runs at the ends of the stated ranges are predicted as stated', async (t) => {
  const engines = modelErrors[0]?.engines;
  for (const folder of [
    'reference-2026-11-26/rw-4-precopy-r1',
    'reference-2026-11-26/rw-4-restore-r1',
    'reference-2026-11-26-engines/idle-16-balance-r3',
    'reference-2026-11-26-engines/rw-16-balance-r3',
    'reference-2026-11-26-engines/rw-16-multifd-zstd-r1',
    'reference-2026-11-26-engines/ro-16-multifd-zstd-r2',
  ]) {
    const { engine, totalTimeMs, setup } = await readMeasuredRun(path.join(root, 'results', folder));
    const percent = Math.round(100 * (simulate(engine, setup).totalTimeMs / totalTimeMs - 1));
    const { lowestPercent, highestPercent } = engines?.[engine] ?? {};
    t.true(percent === lowestPercent || percent === highestPercent, `${folder}: ${percent} %`);
  }
});
