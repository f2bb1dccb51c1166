import test from 'ava';
import { FaultTimes } from './fault-times.ts';

test('a page is waited for from its first request to its arrival, whichever block it is of', (t) => {
  const times = new FaultTimes();
  times.requested(0, 7, 100);
  times.requested(0, 7, 150);
  times.requested(1, 7, 160);
  times.arrived(0, 8, 170);
  times.arrived(0, 7, 180);
  times.arrived(0, 7, 190);
  times.arrived(1, 7, 200);
  const { faults, fault_p50_ms, fault_max_ms } = times.summary;
  t.deepEqual([faults, fault_p50_ms, fault_max_ms], [2, 40, 80]);
  t.deepEqual(times.waitedFor, []);
  times.requested(3, 9, 210);
  t.deepEqual(times.waitedFor, [{ blockIndex: 3, pageIndex: 9 }]);
});

test('percentiles are values that occurred', (t) => {
  const times = new FaultTimes();
  for (let page = 1; page <= 100; page++) {
    times.requested(0, page, 0);
    times.arrived(0, page, page);
  }
  const { fault_p50_ms, fault_p95_ms, fault_p99_ms, fault_max_ms } = times.summary;
  t.deepEqual([fault_p50_ms, fault_p95_ms, fault_p99_ms, fault_max_ms], [50, 95, 99, 100]);
});

test('nothing was waited for', (t) => {
  const times = new FaultTimes();
  times.requested(0, 1, 5);
  t.deepEqual(times.summary, {
    event: 'faults',
    faults: 0,
    fault_p50_ms: 0,
    fault_p95_ms: 0,
    fault_p99_ms: 0,
    fault_max_ms: 0,
  });
});
