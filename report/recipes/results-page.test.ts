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
      { recipe: 'a', sets: ['results/x', 'results/y'], lines: ['of a'] },
      { recipe: 'c', sets: [], lines: ['of c'] },
    ],
  });
  t.is(resultsPageText(page, names), text);
  const made = withBlocks(page, [
    { recipe: 'b', sets: ['results/z'], lines: ['of b', ''] },
    { recipe: 'c', sets: ['results/z'], lines: ['of c now'] },
  ]);
  const written = resultsPageText(made, names);
  t.regex(written, /of a\n\n<!-- \/recipe -->\n\n<!-- recipe b: results\/z -->\n\nof b\n\n<!-- \/recipe -->/);
  t.regex(written, /<!-- recipe c: results\/z -->\n\nof c now\n\n<!-- \/recipe -->\n$/);
  t.is(resultsPageText(parseResultsPage(written), names), written);
  t.false(resultsPageText(page, [{ name: 'a' }]).includes('of c'), 'a recipe that is no more');
});

test('the summary has each claim of each block, and follows them', (t) => {
  const table = (measured: string): string[] => [
    '| Claim | What is measured | Measured | Cells | Verdict |',
    '| ----- | ---------------- | -------- | ----- | ------- |',
    `| \`a\` is fast. | total | ${measured} | 1 / 1 | holds |`,
    `| It is exact. | pages | 0 | 1 / 1 | does not hold |`,
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
            lines: [
              '## Title, of a',
              '',
              '**1 of 3 runs**, in',
              '',
              ...table(measured),
              '',
              'x',
              ...table('1'),
            ],
          },
          { recipe: 'b', sets: [], lines: ['## B', '', 'No set is recorded.'] },
        ],
      },
      names,
    );
  const page = written('rw: 3.28');
  t.regex(page, /\| \*\*\[Title, of a\]\(#title-of-a\)\*\* \| 1 of 3 runs +\|/);
  t.regex(page, /\| `a` is fast\. +\| rw: 3\.28 +\| holds +\|/);
  t.regex(page, /\| The paper’s claims +\| holds: 1; does not hold: 1 \|/);
  t.regex(page, /^Not recorded: \*\*\[B\]\(#b\)\*\*\.$/m);
  t.false(page.includes('stale'));
  t.regex(page, /<!-- \/summary -->\n\n## How/);
  t.is(resultsPageText(parseResultsPage(page), names), page);
  t.true(written('rw: 1.00').includes('rw: 1.00'));
});

test('what would be lost is refused', (t) => {
  const refused = (wrong: string, message: RegExp) => {
    t.throws(() => parseResultsPage(wrong), { code: 'no-block', message });
  };
  refused(`${text}\nWords at the end`, /"Words at the end" stands between blocks/);
  refused(text.replace('<!-- /recipe -->', ''), /the block of a has no end/);
  refused(text.slice(0, -18), /the block of c has no end/);
});

test('what every experiment says alike stands once, with the count of its verdicts', (t) => {
  const claims = (verdict: string, own: string): string[] => [
    '| Claim | What is measured | Measured | Cells | Verdict |',
    '| ----- | ---------------- | -------- | ----- | ------- |',
    `| ${own} | total | 2 | 1 / 1 | holds |`,
    `| Nothing is lost. | lost | 0 | 1 / 1 | ${verdict} |`,
  ];
  const page = resultsPageText(
    {
      head: '<!-- summary -->\n<!-- /summary -->',
      blocks: [
        {
          recipe: 'a',
          sets: ['results/x'],
          lines: ['## A', '', '3 runs, in', '', ...claims('holds', 'Of a.')],
        },
        { recipe: 'b', sets: ['results/y'], lines: ['## B', '', '1 run, in', '', ...claims('few', 'Of b.')] },
      ],
    },
    names,
  );
  const [summary = ''] = page.split('<!-- /summary -->');
  t.regex(summary, /\| \*\*In every experiment:\*\* Nothing is lost\. +\| 0 +\| holds: 1; few: 1 +\|/);
  t.is(summary.split('Nothing is lost').length, 2);
  t.regex(summary, /\(#b\)\*\* +\| 1 run +\|/);
  t.regex(summary, /\| Of b\. +\| 2 +\| holds +\|/);
});
