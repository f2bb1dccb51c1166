import test from 'ava';
import { downtimeStepsOf } from './downtime-ramp.ts';

const gib = 2 ** 30;

test("Nova's own example: 10 steps, 30 s a GiB, 3 GiB, 400 ms", (t) => {
  const steps = downtimeStepsOf({ maxMs: 400, steps: 10, delaySecondsPerGib: 30 }, 3 * gib);
  t.deepEqual(
    steps.map(({ limitMs }) => limitMs),
    [40, 76, 112, 148, 184, 220, 256, 292, 328, 364, 400],
  );
  t.deepEqual(
    steps.map(({ afterMs }) => afterMs / 1000),
    [0, 90, 180, 270, 360, 450, 540, 630, 720, 810, 900],
  );
});

test('a small guest has the time of one of 2 GiB', (t) => {
  const ramp = { maxMs: 500, steps: 10, delaySecondsPerGib: 75 };
  t.deepEqual(downtimeStepsOf(ramp, gib / 4), downtimeStepsOf(ramp, 2 * gib));
});
