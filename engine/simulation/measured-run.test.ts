import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { parseRunsCsv, writeRunsCsv } from '../../record/csv.ts';
import { readMeasuredRun } from './measured-run.ts';

const results = path.join(import.meta.dirname, '..', '..', 'results');

test('a recorded run gives links, memory, list and what was measured; its samples may be compressed', async (t) => {
  const run = await readMeasuredRun(path.join(results, 'reference-2026-11-26', 'rw-16-restore-r1'));
  t.is(run.engine, 'restore');
  t.is(Math.round(run.totalTimeMs / 1000), 115);
  t.is(run.setup.guest.memoryBytes, 2 ** 31);
  t.true(run.setup.guest.dirtyBytesPerSecond > 0);
  t.is(run.setup.compressionRatio, 1);
  t.true(run.setup.listLatencyMs > 1000);
});

test('a folder that is no run, or of an engine that is not simulated, is refused with the file that is missing or the engine', async (t) => {
  await t.throwsAsync(readMeasuredRun(results), {
    instanceOf: CodedError,
    name: 'PredictionError',
    message: /manifest\.json/,
  });
  await t.throwsAsync(
    readMeasuredRun(path.join(results, 'reference-2026-11-25-comparators', 'rw-16-postcopy-r1')),
    { instanceOf: CodedError, name: 'PredictionError', message: /postcopy run that is not simulated/ },
  );
});

test('what was not measured is no 0: the run is refused with its name, or lacks it', async (t) => {
  const set = await mkdtemp(path.join(os.tmpdir(), 'poolshift-measured-'));
  t.teardown(() => rm(set, { recursive: true }));
  const recorded = path.join(results, 'reference-2026-11-28-smoke');
  const run = path.join(set, 'rw-4-restore-r1');
  await cp(path.join(recorded, 'rw-4-restore-r1'), run, { recursive: true });
  const rows = parseRunsCsv(await readFile(path.join(recorded, 'runs.csv'), 'utf8'));
  const without = (column: string) =>
    writeRunsCsv(
      path.join(set, 'runs.csv'),
      rows.map((row) => ({ ...row, [column]: undefined })),
    );
  for (const column of ['vm_memory_bytes', 'content_bytes', 'downtime_limit_ms']) {
    await without(column);
    await t.throwsAsync(readMeasuredRun(run), {
      code: 'unusable-run',
      message: new RegExp(`rw-4-restore-r1: ${column} was not measured$`),
    });
  }
  await without('migration_link_bytes');
  const { migrationLinkBytes, storageLinkBytes = 0 } = await readMeasuredRun(run);
  t.is(migrationLinkBytes, undefined);
  t.true(storageLinkBytes > 0);
  await writeFile(path.join(run, 'manifest.json'), '');
  await t.throwsAsync(readMeasuredRun(run), { message: /rw-4-restore-r1: manifest\.json: Unexpected end/ });
});
