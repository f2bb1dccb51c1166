import test from 'ava';
import fc from 'fast-check';
import { latenciesBySecond, percentileMs } from './latency.ts';

test('a percentile is the least latency that so many transactions did not exceed', (t) => {
  t.is(percentileMs([], 50), undefined);
  t.is(percentileMs([{ ms: 1, transactions: 0 }], 50), undefined);
  const bucket = fc.record({
    ms: fc.integer({ min: 1, max: 50 }),
    transactions: fc.integer({ min: 0, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(bucket, { minLength: 1 }), fc.constantFrom(50, 95, 99), (buckets, percent) => {
      const each = buckets
        .flatMap(({ ms, transactions }) => Array<number>(transactions).fill(ms))
        .sort((a, b) => a - b);
      t.is(percentileMs(buckets, percent), each[Math.ceil((each.length * percent) / 100) - 1]);
    }),
  );
});

test('the buckets of a second are put together from its samples', (t) => {
  const sample = (at_ms: number, metric: string, value: number) =>
    ({ at_ms, host: 'client', metric, value }) as const;
  t.deepEqual(
    latenciesBySecond([
      sample(1000, 'tps', 3),
      sample(1000, 'latency_ms', 2.5),
      sample(1000, 'latency_transactions', 1),
      sample(1000, 'latency_ms', 80),
      sample(1000, 'latency_transactions', 2),
      sample(2000, 'latency_ms', 4),
      sample(2000, 'latency_transactions', 7),
    ]),
    [
      {
        tMs: 1000,
        latencies: [
          { ms: 2.5, transactions: 1 },
          { ms: 80, transactions: 2 },
        ],
      },
      { tMs: 2000, latencies: [{ ms: 4, transactions: 7 }] },
    ],
  );
});
