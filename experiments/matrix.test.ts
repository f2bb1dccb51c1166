import test from 'ava';
import { runName, matrixRuns, matrixOptionsSchema } from './matrix.ts';

test('every combination comes once for each repeat', (t) => {
  const cells = matrixRuns(matrixOptionsSchema.parse({ repeat: '2' }));
  t.is(new Set(cells.map(runName)).size, cells.length);
  t.is(cells.length % (3 * 4 * 2), 0);
});

test('engines alternate and no engine always goes first', (t) => {
  const cells = matrixRuns({
    scenarios: ['ro', 'rw'],
    mems: ['4'],
    engines: ['precopy', 'restore'],
    repeat: 1,
  });
  t.deepEqual(
    cells.map((cell) => `${cell.scenario} ${cell.engine}`),
    ['ro precopy', 'ro restore', 'rw restore', 'rw precopy'],
  );
});

test('an empty or unknown list is refused', (t) => {
  t.false(matrixOptionsSchema.safeParse({ engines: [] }).success);
  t.false(matrixOptionsSchema.safeParse({ mems: ['5'] }).success);
});
