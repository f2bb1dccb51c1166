/** docs/measurements.md holds the tables of the code, so that page and columns cannot part. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { definitionTable } from './definition.ts';
import { metrics } from './metrics.ts';
import { runColumns } from './run-columns.ts';

/** prettier pads the cells of tables. */
const unpadded = (markdown: string): string =>
  markdown
    .replaceAll(/ +\|/g, ' |')
    .replaceAll(/\| +/g, '| ')
    .replaceAll(/-{3,}/g, '---')
    .replaceAll(/ *--- */g, '---');

for (const [title, definitions] of [
  ['column', runColumns],
  ['metric', metrics],
] as const) {
  test(`the table of each ${title} is on the page`, async (t) => {
    const page = await readFile(path.resolve(import.meta.dirname, '../../docs/measurements.md'), 'utf8');
    const table = definitionTable(title, definitions);
    t.true(
      unpadded(page).includes(unpadded(table)),
      `replace the table in docs/measurements.md by:\n${table}`,
    );
  });
}
