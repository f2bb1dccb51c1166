/** The tables of "What runs where": every row says what becomes of such pages, and names a test that is there. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';

const root = path.join(import.meta.dirname, '..');
const outcomes = ['restored', 'expected', 'sent', 'refused'];
const sections = readFileSync(path.join(root, 'docs/what-runs-where.md'), 'utf8').split(/^## /m).slice(1);

for (const section of sections) {
  const [heading = ''] = section.split('\n');
  test(`${heading}: each row has an outcome and a test that shows it`, (t) => {
    const [header = '', , ...rows] = section.split('\n').filter((line) => line.startsWith('|'));
    const cellsOf = (row: string): string[] =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
    t.deepEqual(cellsOf(header), ['what', 'outcome', 'shown by']);
    t.true(rows.length > 0);
    for (const row of rows) {
      const [what = '', outcome = '', shownBy = ''] = cellsOf(row);
      t.true(outcomes.includes(outcome), `${what}: "${outcome}"`);
      t.true(outcome !== 'expected' || shownBy === '_not tried_', what);
      if (shownBy === '_not tried_') {
        t.not(outcome, 'restored', what);
        continue;
      }
      const files = [...shownBy.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file);
      t.true(files.length > 0, `${what}: no test`);
      for (const file of files)
        t.true(file.endsWith('.test.ts') && existsSync(path.join(root, file)), `${what}: ${file}`);
    }
  });
}
