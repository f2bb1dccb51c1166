import test from 'ava';
import { type SoakRow, soakSummary, soakTable } from './table.ts';

const row: SoakRow = {
  seed: 1,
  vm: 'small',
  fault: 'cut link',
  moment: 'after 5 ms',
  reached: true,
  end: 'at source',
  exits: [1, 1],
  inDoubt: false,
  violations: [],
  durationMs: 4000,
  settings: {},
};
const rows: readonly SoakRow[] = [
  { ...row, sourceWentOn: true },
  { ...row, seed: 2, end: 'at target', exits: [3, 0], inDoubt: true, pagesCompared: 100 },
  {
    ...row,
    ...{ seed: 3, fault: 'none', moment: '', reached: false, end: 'violated', exits: [0, 0] },
    violations: [{ name: 'differing-pages', detail: '1 pages' }],
    pagesCompared: 100,
  },
  { ...row, seed: 4, fault: '', end: 'violated', failure: 'QEMU does not start' },
];

test('a line for each fault, a column for each end, and their sums', (t) => {
  const cells = soakTable(rows)
    .split('\n')
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  t.deepEqual(cells[0], [
    ...['fault', 'runs', 'came', 'at target', 'at source', 'gone with its host', 'violated'],
    ...['was in doubt', 'source went on'],
  ]);
  t.deepEqual(cells.slice(2), [
    ['cut link', '2', '2', '1', '1', '', '', '1', '1'],
    ['none', '1', '', '', '', '', '1', '', ''],
    ['all', '3', '2', '1', '1', '', '1', '1', '1'],
  ]);
});

test('every line of the table is as long as the others', (t) => {
  t.is(
    new Set(
      soakTable(rows)
        .split('\n')
        .map(({ length }) => length),
    ).size,
    1,
  );
});

test('a violation is named with the seed that repeats it, and so is a run that could not be made', (t) => {
  t.deepEqual(soakSummary(rows).split('\n'), [
    '3 runs, memory compared in 2, 1 violated',
    'differing-pages: 1 (--only 3)',
    'seed 4 could not be run: QEMU does not start',
  ]);
});

test('commits and databases are summed up where there are any', (t) => {
  const database = { startedAnew: false, acknowledged: 40, lost: 0 };
  const made: readonly SoakRow[] = [
    { ...row, vm: 'db', database },
    { ...row, vm: 'db', database: { startedAnew: true, acknowledged: 2, lost: 1 } },
  ];
  t.deepEqual(soakSummary(made).split('\n'), [
    '2 runs, memory compared in 0, 0 violated',
    '42 commits acknowledged, 1 lost; tables checked in 2 runs, in 1 after the VM was started anew',
  ]);
});

test('a violation of the form with a database is repeated with that form', (t) => {
  const violated: SoakRow = { ...row, vm: 'db', violations: [{ name: 'lost-commits', detail: '1 of 9' }] };
  t.is(soakSummary([violated]).split('\n').at(-1), 'lost-commits: 1 (--vm db --only 1)');
});
