import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { committedName, withSetRow } from './commit-sets.ts';

const page = await readFile(path.join(import.meta.dirname, '..', 'results', 'README.md'), 'utf8');
const recipe = { name: 'smoke', question: 'Does everything work?' };

test('a committed set is named by date and recipe', (t) => {
  t.is(committedName(recipe, 'smoke-2026-11-30'), 'reference-2026-11-30-smoke');
  t.is(committedName(recipe, 'smoke-2026-11-30-low'), 'reference-2026-11-30-smoke-low');
  t.is(committedName(recipe, 'reference-2026-11-26'), 'reference-2026-11-26');
  t.throws(() => committedName(recipe, 'mine'), { code: 'usage', message: /named as smoke-<date>/ });
});

test('a set gets a line below those of the others, once', (t) => {
  const line = '| `2026-12-01-smoke` | `smoke` | Does everything work? |';
  const added = withSetRow(page, 'reference-2026-12-01-smoke', recipe);
  t.is(added.replace(`${line}\n`, ''), page);
  t.regex(added, /^\| `2026.*\|\n\| `2026-12-01-smoke`.*\|\n\n/m);
  t.is(withSetRow(added, 'reference-2026-12-01-smoke', recipe), added);
  // It shares its line with others.
  t.is(withSetRow(page, 'reference-2026-11-29-dirty-rate-03', recipe), page);
});
