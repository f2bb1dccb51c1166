import test from 'ava';
import { DowntimeSteps } from './downtime-steps.ts';

/** The limits told in passes `from` to `to`, as [pass, limit]. */
function told(steps: DowntimeSteps, from: number, to: number): [number, number][] {
  const all: [number, number][] = [];
  for (let pass = from; pass <= to; pass++) {
    const limitMs = steps.update(pass);
    if (limitMs !== undefined) all.push([pass, limitMs]);
  }
  return all;
}

test('a VM that converges within its first passes is left alone', (t) => {
  t.deepEqual(told(new DowntimeSteps(300, 2000), 3, 12), []);
});

test('one that does not gets a little more downtime every few passes, and never more than the most', (t) => {
  const steps = new DowntimeSteps(300, 500);
  t.deepEqual(told(steps, 3, 40), [
    [13, 375],
    [18, 469],
    [23, 500],
  ]);
});

test('several looks at one pass raise it once', (t) => {
  const steps = new DowntimeSteps(300, 2000);
  t.deepEqual(
    [1, 11, 11, 11, 15, 16].map((pass) => steps.update(pass)),
    [undefined, 375, undefined, undefined, undefined, 469],
  );
});

test('a most below the limit raises nothing', (t) => {
  t.deepEqual(told(new DowntimeSteps(300, 0), 1, 100), []);
});
