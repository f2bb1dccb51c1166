import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { parquetMetadata } from 'hyparquet';
import { type Sample, clockNames } from './event.ts';
import { metricsInFile, readSamplesFile, writeSamplesFile } from './samples-file.ts';

let folder: string;
test.before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-samples-'));
});
test.after.always(async () => {
  await rm(folder, { recursive: true });
});

/** Series by series; their samples in the order in which they were recorded. */
const bySeries = (samples: readonly Sample[]): unknown =>
  [...Map.groupBy(samples, ({ host, metric }) => `${host} ${metric}`)].sort(([a], [b]) => (a < b ? -1 : 1));

// JSON, which raw samples come from, has neither.
const number = fc
  .oneof(fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }))
  .map((value) => (Object.is(value, -0) ? 0 : value));
const report = fc.record({
  host: fc.constantFrom(...clockNames),
  at_ms: fc.oneof(fc.constantFrom(1e12, 1e12 + 0.25), number),
  values: fc.dictionary(fc.constantFrom('tps', 'qps', 'nic_in_bytes:storage'), number),
});

test('what is written is read: every number, whatever hosts report together', async (t) => {
  const file = path.join(folder, 'property.parquet');
  await fc.assert(
    fc.asyncProperty(fc.array(report, { maxLength: 20 }), async (reports) => {
      const samples = reports.flatMap(({ host, at_ms, values }) =>
        Object.entries(values).map(([metric, value]): Sample => ({ host, at_ms, metric, value })),
      );
      await writeSamplesFile(file, samples);
      t.deepEqual(bySeries(await readSamplesFile(file)), bySeries(samples));
    }),
  );
  t.false((await readdir(folder)).some((name) => name.endsWith('.new')));
});

test('only metrics that are wanted are read', async (t) => {
  const file = path.join(folder, 'wanted.parquet');
  const sample = (metric: string, value: number): Sample => ({ host: 'src', at_ms: 1, metric, value });
  await writeSamplesFile(file, [sample('tps', 8.5), sample('cpu_percent', 50)]);
  t.deepEqual(await metricsInFile(file), ['cpu_percent', 'tps']);
  t.deepEqual(await readSamplesFile(file, (metric) => metric === 'tps'), [sample('tps', 8.5)]);
});

test('a row is a report: what comes together is no larger for it', async (t) => {
  const file = path.join(folder, 'rows.parquet');
  const samples = Array.from({ length: 50 }, (_, index) =>
    ['tps', 'qps'].map((metric): Sample => ({ host: 'client', at_ms: index * 1000, metric, value: index })),
  ).flat();
  await writeSamplesFile(file, samples);
  const metadata = parquetMetadata(new Uint8Array(await readFile(file)).buffer);
  t.is(Number(metadata.num_rows), 50);
  t.is(metadata.row_groups.length, 1);
});

test('what is no such file is refused', async (t) => {
  const file = path.join(folder, 'none.parquet');
  await writeFile(file, 'PAR1, or so');
  await t.throwsAsync(readSamplesFile(file));
});
