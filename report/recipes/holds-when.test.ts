import test from 'ava';
import { claimTexts } from '../claims/claim-texts.ts';
import { withHoldsWhen } from './holds-when.ts';

const claim = claimTexts['total-time-shorter'].claim.en;
const head = '# Results\n\n<!-- holds-when -->\nstale\n<!-- /holds-when -->\n\n## How';

/** A block with a table of the paper's claims for each title. */
const block = (
  recipe: string,
  ...tables: readonly (readonly [title: string, measured: string, verdict: string])[]
) => ({
  recipe,
  lines: [
    ...['## Some', '', '| Claim | What | Measured | Cells | Verdict |', '|---|---|---|---|---|'],
    ...[`| ${claim} | rule | own | 1 / 1 | holds |`, ''],
    ...tables.flatMap(([title, measured, verdict]) => [
      `The paper’s claims, held against the same runs${title} ([how they are judged](report.md)):`,
      '',
      '| Claim | What | Measured | Cells | Verdict |',
      '|---|---|---|---|---|',
      `| ${claim} | rule | ${measured} | 1 / 12 | ${verdict} |`,
      '',
    ]),
  ],
});

const recipes = [
  { name: 'fresh', paperClaims: 'fresh guests' },
  { name: 'engines' },
  { name: 'rates', paperClaims: 'dirty rate' },
  { name: 'aged', paperClaims: 'aged guests' },
];

test('a claim holds where the blocks say so, and what nobody recorded is named', (t) => {
  const blocks = [
    block('fresh', ['', '1.1 ×', 'does not hold']),
    block('engines'),
    block(
      'rates',
      [', 0.1 of the link', '1.2 ×', 'does not hold'],
      [', 0.6 of the link', '2.3 ×', 'holds in these runs (fewer than 3 per cell)'],
    ),
    { recipe: 'aged', lines: ['## Aged', '', 'No set is recorded.'] },
  ];
  const lines = withHoldsWhen(head, blocks, recipes).split('\n');
  const row = lines.find((line) => line.includes(claim)) ?? '';
  t.deepEqual(
    row.split('|').map((cell) => cell.trim()),
    [
      '',
      claim,
      String.raw`dirty rate 0.6 of the link\* (2.3 ×)`,
      'fresh guests (1.1 ×); dirty rate 0.1 of the link (1.2 ×)',
      '',
    ],
  );
  t.true(lines.includes('Not recorded: aged guests.'));
  t.false(lines.includes('stale'));
  t.is(lines.at(-1), '## How');
  const other = lines.find((line) => line.includes(claimTexts['downtime-alike'].claim.en)) ?? '';
  t.deepEqual(
    other
      .split('|')
      .slice(2, 4)
      .map((cell) => cell.trim()),
    ['–', '–'],
  );
});

test('a page without the marks is left as it is', (t) => {
  t.is(withHoldsWhen('# Title', [], recipes), '# Title');
});
