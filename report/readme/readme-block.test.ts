import test from 'ava';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { readmeBlock, readmeFigures, withBlock } from './readme-block.ts';

const names = (scenarios: readonly string[]) =>
  readmeFigures(syntheticSet({ scenarios, memorySizes: [4] })).map(({ name }) => name);

test('shows the load that has most to tell', (t) => {
  t.deepEqual(names(['idle', 'ro', 'rw']), [
    'figure-08-total-time',
    'figure-11-nic-throughput-rw',
    'figure-17-tps-rw',
  ]);
  t.deepEqual(names(['idle']), ['figure-08-total-time', 'figure-09-nic-throughput-idle']);
});

test('takes the place of the block that was there, and of nothing else', (t) => {
  const set = syntheticSet({ memorySizes: [4] });
  const block = readmeBlock(set, ['results/a', 'results/b'], 'docs/figures');
  t.true(block.includes('    npm run report -- results/a results/b --readme\n'));
  t.true(
    readmeBlock(set, ['results/a'], 'docs/figures', ['--failed-too']).includes(
      '    npm run report -- results/a --failed-too --readme\n',
    ),
  );
  t.true(block.includes('![Figure 8. Total migration time](docs/figures/figure-08-total-time.png)'));
  t.true(block.includes('| Downtime: no real difference'));
  const page = withBlock('before\n<!-- report -->\nold\n<!-- /report -->\nafter\n', block);
  t.is(page, `before\n${block}\nafter\n`);
  t.is(withBlock(page, block), page);
  t.throws(() => withBlock('no marks', block), { code: 'no-block' });
});
