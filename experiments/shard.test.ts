import test from 'ava';
import fc from 'fast-check';
import type { EngineName } from './engines.ts';
import { runName, matrixRuns, matrixOptionsSchema } from './matrix.ts';
import { memValues } from './paper-rows.ts';
import { scenarioNames } from './scenarios.ts';
import { pairOption, shardOption } from './shard.ts';

test('a shard is one of N', (t) => {
  t.deepEqual(shardOption.parse('2/5'), { index: 2, count: 5 });
  t.deepEqual(shardOption.parse('1/1'), { index: 1, count: 1 });
  for (const bad of [
    '0/5',
    '6/5',
    'a/b',
    '2',
    '2/',
    '/5',
    '-1/5',
    '1.5/5',
    '1/0',
    '1/1001',
    '2/5/5',
    ' 2/5',
    '',
  ])
    t.false(shardOption.safeParse(bad).success, bad);
});

test('the name of a pair can be part of a file name', (t) => {
  t.is(pairOption.parse('rack-a_1.2'), 'rack-a_1.2');
  for (const bad of ['', '.a', 'a/b', 'a b', 'ä', 'x'.repeat(65)])
    t.false(pairOption.safeParse(bad).success, bad);
});

const engines = ['precopy', 'restore', 'balance'] as const;
const matrices = fc.record({
  scenarios: fc.subarray([...scenarioNames], { minLength: 1 }),
  mems: fc.subarray([...memValues], { minLength: 1 }),
  engines: fc.constant<EngineName[]>([...engines]),
  repeat: fc.integer({ min: 1, max: 7 }),
});

test('shards together are the matrix; engines of one scenario, row and repeat stay together', (t) => {
  fc.assert(
    fc.property(matrices, fc.integer({ min: 1, max: 9 }), (options, count) => {
      const shards = Array.from({ length: count }, (_, index) =>
        matrixRuns({ ...options, shard: { index: index + 1, count } }),
      );
      const whole = matrixRuns(options).map(runName).sort();
      t.deepEqual(shards.flat().map(runName).sort(), whole);
      for (const cells of shards)
        for (const ofBlock of Map.groupBy(
          cells,
          (cell) => `${cell.scenario} ${cell.mem} ${cell.repeat}`,
        ).values())
          t.is(ofBlock.length, engines.length);
      const sizes = shards.map((cells) => cells.length / engines.length);
      t.true(Math.max(...sizes) - Math.min(...sizes) <= 1, 'no shard has two blocks more than another');
    }),
  );
});

test('within a shard, too, the order of engines turns round', (t) => {
  const cells = matrixRuns({
    scenarios: ['rw'],
    mems: ['4'],
    engines: ['precopy', 'restore'],
    repeat: 4,
    shard: { index: 2, count: 2 },
  });
  t.deepEqual(
    cells.map(({ engine, repeat }) => `${engine} ${repeat}`),
    ['precopy 2', 'restore 2', 'restore 4', 'precopy 4'],
  );
});

test('repeats of a combination go to different pairs', (t) => {
  const options = { scenarios: ['ro', 'rw'] as const, mems: ['4'] as const, engines: ['precopy'] as const };
  const first = matrixRuns({
    ...matrixOptionsSchema.parse({ ...options, repeat: 2 }),
    shard: { index: 1, count: 2 },
  });
  t.deepEqual(first.map(runName), ['ro-4-precopy-r1', 'rw-4-precopy-r2']);
});
