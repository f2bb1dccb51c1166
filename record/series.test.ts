import test from 'ava';
import fc from 'fast-check';
import { counterIncrease, meanOfSeconds, processIncrease, seriesOf } from './series.ts';

const points = (...pairs: [number, number][]) => pairs.map(([tMs, value]) => ({ tMs, value }));

test('a series is of one host and one metric', (t) => {
  const samples = [
    { at_ms: 0, host: 'src', metric: 'tps', value: 1 },
    { at_ms: 1, host: 'src', metric: 'tps', value: 2 },
    { at_ms: 0, host: 'dst', metric: 'tps', value: 3 },
    { at_ms: 0, host: 'src', metric: 'qps', value: 4 },
  ] as const;
  t.deepEqual(seriesOf(samples, 'src', 'tps'), points([0, 1], [1, 2]));
});

test('a counter grows evenly between samples', (t) => {
  const counter = points([0, 1000], [200, 1000], [400, 2000], [600, 2600]);
  t.is(counterIncrease(counter, 200, 600), 1600);
  t.is(counterIncrease(counter, 300, 450), 2150 - 1500);
  t.is(counterIncrease(counter, 100, 300), 500);
  t.is(counterIncrease(counter, 300, 700), undefined, 'the record ends before');
  t.is(counterIncrease(counter, -1, 300), undefined, 'the record begins after');
  t.is(counterIncrease([], 0, 1), undefined);
});

test('a process that starts or ends in between counts from 0, and up to its last sample', (t) => {
  const counter = points([100, 50], [200, 150], [300, 350]);
  t.is(processIncrease(counter, 150, 250), counterIncrease(counter, 150, 250));
  t.is(processIncrease(counter, 0, 250), 250, 'started in between');
  t.is(processIncrease(counter, 150, 1000), 250, 'ended in between');
  t.is(processIncrease(counter, 0, 1000), 350, 'both');
  t.is(processIncrease(counter, 0, 99), undefined, 'not yet started');
  t.is(processIncrease(counter, 300, 1000), undefined, 'ended before');
});

test('increases over neighbouring times add up', (t) => {
  const counter = fc.array(fc.nat(1e9), { minLength: 2 }).map((steps) => {
    let value = 0;
    return steps.map((step, index) => ({ tMs: index * 200, value: (value += step) }));
  });
  fc.assert(
    fc.property(counter, fc.double({ min: 0, max: 1, noNaN: true }), (series, share) => {
      const end = (series.length - 1) * 200;
      const middle = share * end;
      const parts =
        (counterIncrease(series, 0, middle) ?? NaN) + (counterIncrease(series, middle, end) ?? NaN);
      t.true(Math.abs(parts - (counterIncrease(series, 0, end) ?? NaN)) < 0.01);
    }),
  );
});

test('a second belongs to where its middle lies', (t) => {
  const tps = points([1000, 10], [2000, 20], [3000, 30], [4000, 40]);
  t.is(meanOfSeconds(tps, 0, 4000), 25);
  t.is(meanOfSeconds(tps, 500, 1500), 10, 'from is within, to is not');
  t.is(meanOfSeconds(tps, 501, 2501), 25);
  t.is(meanOfSeconds(tps, 5000, 9000), undefined);
});
