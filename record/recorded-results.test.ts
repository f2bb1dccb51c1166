/** results/README.md against what is committed in results/: every file, column, metric, event and key has its line. */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { z } from 'zod';
import { plannedCellsFile, plannedCellsSchema } from '../experiments/planned-cells.ts';
import { sampleColumns } from './csv.ts';
import { engineEventFields, engineEventNames } from './engine-event.ts';
import { runEventSchema } from './event.ts';
import { isKnownMetric } from './metrics.ts';
import { readSamples } from './read-run.ts';
import { metricsInFile } from './samples-file.ts';
import { keptOf } from './sets/committed-set.ts';

const results = path.resolve(import.meta.dirname, '../results');
const page = readFileSync(path.join(results, 'README.md'), 'utf8');

/** Names in the first column of the table below a heading. */
function namesUnder(heading: string): ReadonlySet<string> {
  const section = page.split(/^## /m).find((text) => text.startsWith(heading)) ?? '';
  const firstCells = section.split('\n').flatMap((line) => /^\|([^|]*)\|/.exec(line)?.[1] ?? []);
  return new Set(
    firstCells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '')),
  );
}

const sets = readdirSync(results, { withFileTypes: true }).filter((entry) =>
  entry.name.startsWith('reference-'),
);
const files = sets.flatMap(({ name: set }) =>
  readdirSync(path.join(results, set), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    // What `npm run report` made of the set is not recorded.
    .filter((file) => !file.startsWith(path.join(results, set, 'report'))),
);
const named = (name: string): string[] =>
  files.filter((file) => path.basename(file) === name || path.basename(file) === `${name}.gz`);
const read = (file: string): string => {
  const content = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(content) : content).toString('utf8');
};
const headOf = (text: string): string[] => text.slice(0, text.indexOf('\n')).trim().split(',');

test('files', (t) => {
  t.true(files.length > 0);
  const described = namesUnder('# Results');
  const names = files.map((file) => path.basename(file).replace(/\.gz$/, ''));
  t.deepEqual(
    [...new Set(names)].filter((name) => !described.has(name)),
    [],
  );
});

for (const { name: set } of sets)
  test(`${set} is as \`npm run reproduce -- RECIPE --commit SET\` makes it`, async (t) => {
    const folders = named('samples.parquet').map((file) => path.dirname(file));
    for (const folder of folders.filter((one) => path.dirname(one) === path.join(results, set)))
      t.is((await readSamples(folder))?.length, (await keptOf(folder)).length, folder);
  });

test('all sets together are small', (t) => {
  // Not what `npm run derive` made of them here.
  const committed = files.filter((file) => /\.(json|gz|parquet)$/.test(file));
  const bytes = committed.reduce((sum, file) => sum + statSync(file).size, 0);
  t.true(bytes < 10e6, `${bytes} bytes`);
});

test('columns of runs.csv', (t) => {
  const described = namesUnder('Columns of runs.csv');
  t.true(described.size > 50);
  const found = new Set(named('runs.csv').flatMap((file) => headOf(read(file))));
  t.deepEqual(
    [...found].filter((column) => !described.has(column)),
    [],
  );
});

test('metrics of samples.parquet, and columns of samples.csv', async (t) => {
  const described = namesUnder('Columns of samples');
  for (const column of sampleColumns) t.true(described.has(column), column);
  const metrics = new Set((await Promise.all(named('samples.parquet').map(metricsInFile))).flat());
  t.true(metrics.size > 30);
  t.deepEqual(
    [...metrics].filter((metric) => !isKnownMetric(metric)),
    [],
  );
});

test('events, those that were recorded and those that may be', (t) => {
  const described = namesUnder('events.jsonl');
  const kinds = new Set<string>(runEventSchema.options.map((option) => option.shape.event.value));
  for (const file of named('events.jsonl'))
    for (const [, kind = ''] of read(file).matchAll(/^\{"event":"([a-z-]+)"/gm)) kinds.add(kind);
  t.deepEqual(
    [...kinds].filter((kind) => !described.has(kind)),
    [],
  );
});

test('engine events have the fields of their names', (t) => {
  let count = 0;
  for (const file of named('events.jsonl'))
    for (const [line] of read(file).matchAll(/^\{"event":"engine".*$/gm)) {
      const { name, fields } = z
        .object({ name: z.enum(engineEventNames), fields: z.unknown() })
        .parse(JSON.parse(line));
      // Counters that later versions have more.
      const schema = name === 'done' ? engineEventFields.done.partial() : engineEventFields[name];
      t.true(schema.safeParse(fields).success, `${file}: ${line}`);
      count += 1;
    }
  t.true(count > 100);
});

test('keys of manifest.json', (t) => {
  const described = namesUnder('manifest.json');
  const keys = new Set(
    named('manifest.json').flatMap((file) => Object.keys(JSON.parse(read(file)) as object)),
  );
  t.true(keys.size > 5);
  t.deepEqual(
    [...keys].filter((key) => !described.has(key)),
    [],
  );
});

test('keys of planned-cells.json', (t) => {
  const { shape } = plannedCellsSchema;
  t.deepEqual(
    [...namesUnder(plannedCellsFile)].sort(),
    ['format', 'cells', ...Object.keys(shape.cells.element.shape)].sort(),
  );
  t.true(namesUnder('# Results').has(plannedCellsFile));
});
