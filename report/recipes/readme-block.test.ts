import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { enginesTable, readmeBlock, readmeFigure, readmePicture, withBlock } from './readme-block.ts';

const nameOf = (scenarios: readonly string[]) =>
  readmeFigure(syntheticSet({ scenarios, paperRowsGib: [4] })).name;

test('shows the load that has most to tell', (t) => {
  t.is(nameOf(['idle', 'ro', 'rw']), 'figure-11-nic-throughput-rw');
  t.is(nameOf(['idle']), 'figure-09-nic-throughput-idle');
});

test('a line for each engine, or for each engine and memory row; a dash where no run is', (t) => {
  const linesOf = (paperRowsGib: readonly number[]) =>
    enginesTable(syntheticSet({ paperRowsGib, engines: ['precopy', 'balance'], scenarios: ['rw'] })).split(
      '\n',
    );
  t.is(linesOf([4]).length, 2 + 2 + 1);
  t.regex(linesOf([4])[2] ?? '', /^\| `precopy`: stock QEMU pre-copy +\| [\d.]+ s, \d+ ms +\|$/);
  t.is(linesOf([4, 8]).length, 2 + 4 + 1);
  t.true(linesOf([4, 8])[2]?.includes('`--mem 4`'));

  const planned = [{ set: 'synthetic', scenario: 'idle' as const, paperRowGib: 4, engine: 'precopy' }];
  const set = syntheticSet({ paperRowsGib: [4], engines: ['precopy'], scenarios: ['rw'] });
  t.regex(enginesTable({ ...set, planned }).split('\n')[2] ?? '', /\| – +\| [\d.]+ s/);
});

test('a cell of which not all runs converged says so, and one without any has no time', (t) => {
  const { runs, ...rest } = syntheticSet({
    paperRowsGib: [4],
    engines: ['precopy'],
    scenarios: ['rw'],
    repeats: 3,
  });
  const lineOf = (isCut: (repeat: number) => boolean): string =>
    enginesTable({
      ...rest,
      runs: runs.map((run) =>
        isCut(run.row.repeat)
          ? {
              ...run,
              row: {
                ...run.row,
                outcome: 'not-converged',
                total_time_ms: undefined,
                downtime_stop_resume_ms: undefined,
              },
            }
          : run,
      ),
    }).split('\n')[2] ?? '';
  t.regex(
    lineOf((repeat) => repeat > 1),
    /\| [\d.]+ s, \d+ ms \(1 of 3 converged\) +\|$/,
  );
  t.regex(
    lineOf(() => true),
    /\| did not converge +\|$/,
  );
  t.regex(
    lineOf(() => false),
    /\| [\d.]+ s, \d+ ms +\|$/,
  );
});

test('takes the place of the block that was there, and of nothing else', (t) => {
  const set = syntheticSet({ paperRowsGib: [4] });
  const block = readmeBlock(set, ['results/a', 'results/b'], 'docs/figures/a.png');
  t.true(block.includes('`npm run report -- results/a results/b --readme`'));
  t.true(
    readmeBlock(set, ['results/a'], undefined, ['--failed-too']).includes(
      '`npm run report -- results/a --failed-too --readme`',
    ),
  );
  t.true(block.includes('](docs/figures/a.png)'));
  const page = withBlock('before\n<!-- report -->\nold\n<!-- /report -->\nafter\n', block);
  t.is(page, `before\n${block}\nafter\n`);
  t.is(withBlock(page, block), page);
  t.throws(() => withBlock('no marks', block), { code: 'no-block' });
});

test('the picture is the one that docs/results.md shows of the same sets', (t) => {
  const set = syntheticSet({ paperRowsGib: [4], scenarios: ['rw'] });
  const lines = [
    '![Total](figures/x/figure-08-total-time.png)',
    '![NIC](figures/x/figure-11-nic-throughput-rw.png)',
  ];
  const page = { blocks: [{ recipe: 'x', sets: ['results/a'], lines, paperColumns: [] }] };
  t.is(readmePicture(set, ['results/a'], page), 'docs/figures/x/figure-11-nic-throughput-rw.png');
  t.is(readmePicture(set, ['results/b'], page), undefined);
  t.is(readmePicture(syntheticSet({ scenarios: ['idle'] }), ['results/a'], page), undefined);
});
