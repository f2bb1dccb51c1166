import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
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
