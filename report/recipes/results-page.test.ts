import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { recipes } from '../../experiments/recipes/all.ts';
import { figures } from '../figures/all.ts';
import { columnOf } from './columns.ts';
import { parseResultsPage, resultsPageText, withBlocks } from './results-page.ts';

const root = path.join(import.meta.dirname, '..', '..');

test('docs/results.md has a block for each recipe, in their order, and is as it would be written', async (t) => {
  const text = await readFile(path.join(root, 'docs/results.md'), 'utf8');
  const page = parseResultsPage(text);
  t.deepEqual(
    page.blocks.map(({ recipe }) => recipe),
    recipes.map(({ name }) => name),
    'npm run reproduce -- --report-only makes it again',
  );
  t.is(resultsPageText(page, recipes), text);
});

for (const recipe of recipes) {
  test(`${recipe.name} names columns and figures that there are`, (t) => {
    const names = [
      ...recipe.tables.flatMap(({ columns }) => columns),
      ...recipe.claims.map(({ measure }) => measure.column),
    ];
    for (const name of names) t.notThrows(() => columnOf(name));
    const known = figures.map(({ name }) => name);
    t.deepEqual(
      recipe.figures.filter((name) => !known.includes(name)),
      [],
    );
  });
}

const names = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];
const text = `# Title

Words.

<!-- recipe a: results/x results/y -->

of a

<!-- /recipe -->

<!-- recipe c -->

of c

<!-- /recipe -->
`;

test('blocks are put in place of their own and nothing else changes', (t) => {
  const page = parseResultsPage(text);
  t.deepEqual(page, {
    head: '# Title\n\nWords.',
    blocks: [
      { recipe: 'a', sets: ['results/x', 'results/y'], lines: ['of a'], paperColumns: [] },
      { recipe: 'c', sets: [], lines: ['of c'], paperColumns: [] },
    ],
  });
  t.is(resultsPageText(page, names), text);
  const made = withBlocks(page, [
    { recipe: 'b', sets: ['results/z'], lines: ['of b', ''], paperColumns: [] },
    { recipe: 'c', sets: ['results/z'], lines: ['of c now'], paperColumns: [] },
  ]);
  const written = resultsPageText(made, names);
  t.regex(written, /of a\n\n<!-- \/recipe -->\n\n<!-- recipe b: results\/z -->\n\nof b\n\n<!-- \/recipe -->/);
  t.regex(written, /<!-- recipe c: results\/z -->\n\nof c now\n\n<!-- \/recipe -->\n$/);
  t.is(resultsPageText(parseResultsPage(written), names), written);
  t.false(resultsPageText(page, [{ name: 'a' }]).includes('of c'), 'a recipe that is no more');
});

test('the summary counts the claims of each block, names those that do not hold, and follows them', (t) => {
  const table = (measured: string): string[] => [
    '| Claim | What is measured | Measured | Verdict |',
    '| ----- | ---------------- | -------- | ------- |',
    String.raw`| \`a\` is fast. | total | 3.28 | holds\* |`,
    `| It is exact. | pages | ${measured} | does not hold |`,
    '| It is small. | bytes | 2 | does not hold |',
  ];
  const head = '# Title\n\n<!-- summary -->\nstale\n<!-- /summary -->\n\n## How';
  const written = (measured: string): string =>
    resultsPageText(
      {
        head,
        blocks: [
          {
            recipe: 'a',
            sets: ['results/x'],
            lines: ['## Title, of a', '', '**1 of 3 runs**, in', '', ...table(measured), '', 'x'],
            paperColumns: [],
          },
          { recipe: 'b', sets: [], lines: ['## B', '', 'No set is recorded.'], paperColumns: [] },
        ],
      },
      names,
    );
  const page = written('7');
  t.regex(
    page,
    /\| \[Title, of a\]\(#title-of-a\) \| 1 of 3 +\| 1 of 3\\\* +\| It is exact: 7<br>It is small: 2 +\|/,
  );
  t.regex(page, /^Not recorded: \[B\]\(#b\)\.$/m);
  t.false(page.includes('stale'));
  t.regex(page, /<!-- \/summary -->\n\n## How/);
  t.is(resultsPageText(parseResultsPage(page), names), page);
  t.true(written('5').includes('It is exact: 5<br>'));
});

test('what would be lost is refused', (t) => {
  const refused = (wrong: string, message: RegExp) => {
    t.throws(() => parseResultsPage(wrong), { code: 'no-block', message });
  };
  refused(`${text}\nWords at the end`, /"Words at the end" stands between blocks/);
  refused(text.replace('<!-- /recipe -->', ''), /the block of a has no end/);
  refused(text.slice(0, -18), /the block of c has no end/);
});
