import test from 'ava';
import { clockCorrection } from './clock-correction.ts';
import type { ClockName, RunEvent } from './event.ts';

const measured = (at_ms: number, host: ClockName, offset_ms: number): RunEvent => ({
  event: 'clock-offset',
  at_ms,
  host,
  offset_ms,
  uncertainty_ms: 0.1,
});

test('a clock that is ahead is set back; one that was not measured is left as it is', (t) => {
  const correct = clockCorrection([measured(1000, 'src', 250)]);
  t.is(correct('src', 1250), 1000);
  t.is(correct('src', 0), -250);
  t.is(correct('dst', 1250), 1250);
  t.is(correct('harness', 1250), 1250);
});

test('drift between two measurements is taken as linear, and not continued outside of them', (t) => {
  // When ours showed 1000 and 3000, the host's showed 1100 and 3120.
  const correct = clockCorrection([measured(3000, 'dst', 120), measured(1000, 'dst', 100)]);
  t.is(correct('dst', 1100), 1000);
  t.is(correct('dst', 3120), 3000);
  t.is(correct('dst', 2110), 2000);
  t.is(correct('dst', 600), 500);
  t.is(correct('dst', 4120), 4000);
});
