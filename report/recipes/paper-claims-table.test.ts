import test from 'ava';
import type { Recipe } from '../../experiments/recipe.ts';
import { claimTexts } from '../claims/claim-texts.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { paperColumnsOf } from './paper-claims-table.ts';
import { parseResultsPage, resultsPageText } from './results-page.ts';

const shorter = claimTexts['total-time-shorter'].claim.en;
const alike = claimTexts['downtime-alike'].claim.en;

const recipe: Recipe = {
  name: 'synthetic',
  title: 'Synthetic',
  question: '',
  scenarios: ['rw'],
  mems: ['4', '8'],
  engines: ['precopy', 'restore'],
  repeat: 1,
  conditions: { before: 1, after: 1 },
  tables: [],
  claims: [],
  paperClaims: 'links of',
  figures: [],
};

test('a recipe has a column for each of its parts, with the verdict and its numbers', (t) => {
  const set = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4, 8], repeats: 1 });
  const parts = [4, 8].map((row) => ({
    title: `${row} Mbit/s`,
    mems: recipe.mems,
    runs: set.runs.filter((run) => run.row.paper_row_gib === row),
    failed: [],
  }));
  const columns = paperColumnsOf({ recipe, set, parts, wanted: 4 });
  t.deepEqual(
    columns.map(({ title }) => title),
    ['links of 4 Mbit/s (1 of 12 cells)', 'links of 8 Mbit/s (1 of 12 cells)'],
  );
  t.regex(columns[0]?.cells[shorter] ?? '', /^(?:holds|does not hold)\\\*: [\d.]+ ×$/);
  t.is(columns[0]?.cells[claimTexts['more-with-memory'].claim.en], '–');
  const { paperClaims: _, ...asksNothing } = recipe;
  t.deepEqual(paperColumnsOf({ recipe: asksNothing, set, parts, wanted: 4 }), []);
});

const recipes = [
  { name: 'fresh', paperClaims: 'fresh guests' },
  { name: 'engines' },
  { name: 'rates', paperClaims: 'links of' },
  { name: 'aged', paperClaims: 'aged guests' },
  { name: 'unknown', paperClaims: 'no block yet' },
];

const block = (name: string, ...columns: readonly (readonly [title: string, cell: string])[]) => ({
  recipe: name,
  sets: [],
  lines: [`## The ${name}, all`],
  paperColumns: columns.map(([title, cell]) => ({ title, cells: { [shorter]: cell } })),
});

test('columns link to their blocks in the order of the recipes, and are found there again', (t) => {
  const head = '# Results\n\n<!-- paper-claims -->\nstale\n<!-- /paper-claims -->\n\nWords.';
  const blocks = [
    block('rates', ['links of 4 | 8', String.raw`holds\*: 2.3 ×`], ['links of 9', 'does not hold: 1.2 ×']),
    block('aged'),
    block('fresh', ['fresh guests', 'does not hold: 1.1 ×']),
    block('engines'),
  ];
  const page = resultsPageText({ head, blocks }, recipes);
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()));
  t.deepEqual(rows[0]?.slice(3, -1), [
    '[fresh guests](#the-fresh-all)',
    String.raw`[links of 4 \| 8](#the-rates-all)`,
    '[links of 9](#the-rates-all)',
  ]);
  const cellsOf = (claim: string) => rows.find((row) => row[1] === claim)?.slice(3, -1);
  t.deepEqual(cellsOf(shorter), ['does not hold: 1.1 ×', String.raw`holds\*: 2.3 ×`, 'does not hold: 1.2 ×']);
  t.deepEqual(cellsOf(alike), ['–', '–', '–']);
  t.true(page.includes('Not recorded: [aged guests](#the-aged-all); no block yet.\n'));
  t.false(page.includes('stale'));
  t.regex(page, /<!-- \/paper-claims -->\n\nWords\./);
  const read = parseResultsPage(page);
  t.deepEqual(
    read.blocks.map(({ recipe: name, paperColumns }) => [name, paperColumns.map(({ title }) => title)]),
    [
      ['fresh', ['fresh guests']],
      ['engines', []],
      ['rates', ['links of 4 | 8', 'links of 9']],
      ['aged', []],
    ],
  );
  t.is(resultsPageText(read, recipes), page);
});

test('a page without the marks is left as it is', (t) => {
  t.is(resultsPageText({ head: '# Title', blocks: [] }, recipes), '# Title\n');
});
