/** results/README.md holds the tables of the code, so that page and columns cannot part, and describes what is recorded there. */
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
    const page = await readFile(path.resolve(import.meta.dirname, '../results/README.md'), 'utf8');
    const table = definitionTable(title, definitions);
    t.true(unpadded(page).includes(unpadded(table)), `replace the table in results/README.md by:\n${table}`);
  });
}
