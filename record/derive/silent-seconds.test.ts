import test from 'ava';
import type { RunEvent } from '../event.ts';
import { every } from '../record.fixture.ts';
import { fillSilentSeconds } from './silent-seconds.ts';

const ended = (at_ms: number): RunEvent => ({
  event: 'workload-ended',
  at_ms,
  host: 'client',
  exit_code: 1,
  signal: null,
  figures: {},
});
const points = (samples: ReturnType<typeof fillSilentSeconds>) =>
  samples.map(({ at_ms, value }) => [at_ms, value]);

test('the seconds between an end and the next start are 0', (t) => {
  const samples = [
    ...every(1000, 1000, 'client', 'tps', [8, 8]),
    ...every(1000, 6400, 'client', 'tps', [5, 6]),
  ];
  // The report at 6.4 s is of the second from 5.4 s on. Attempts that failed in between change nothing.
  t.deepEqual(points(fillSilentSeconds([ended(2300), ended(3100)], samples)), [
    [1000, 8],
    [2000, 8],
    [3000, 0],
    [4000, 0],
    [5000, 0],
    [6400, 5],
    [7400, 6],
  ]);
});

test('an end without a new start, or without an end, leaves the samples as they are', (t) => {
  const samples = [
    ...every(1000, 1000, 'client', 'tps', [8, 8]),
    ...every(1000, 9000, 'client', 'cpu_percent', [1]),
  ];
  t.is(fillSilentSeconds([ended(2300)], samples), samples);
  const stalled = [...every(1000, 1000, 'client', 'tps', [8, 8]), ...every(1000, 6000, 'client', 'tps', [8])];
  t.is(fillSilentSeconds([], stalled), stalled);
});
