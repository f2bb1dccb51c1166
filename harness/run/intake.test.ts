import test from 'ava';
import { reportSchema, type ProbeReport } from '../probes/report.ts';
import { runEventSchema, sampleSchema, type NewRunEvent, type Sample } from '../../record/event.ts';
import { Intake } from './intake.ts';
import { isKnownMetric } from '../../record/metrics.ts';

/** Takes the reports of the client and returns what came of them. */
function taken(reports: readonly ProbeReport[]) {
  const events: NewRunEvent[] = [];
  const samples: Sample[] = [];
  const intake = new Intake({
    event: (event) => events.push(event),
    sample: (sample) => samples.push(sample),
  });
  for (const report of reports) intake.take('client', report);
  return { events, samples, values: samples.map(({ at_ms, metric, value }) => [at_ms, metric, value]) };
}

const line = (text: string, at = 1000): ProbeReport => ({
  report: 'line',
  at,
  name: 'sysbench',
  stream: 'stdout',
  text,
});

test('counters become two samples a network', (t) => {
  const { values, events } = taken([
    {
      report: 'nic',
      at: 5,
      networks: { migration: { inBytes: 1, outBytes: 2 }, storage: { inBytes: 3, outBytes: 4 } },
    },
  ]);
  t.deepEqual(values, [
    [5, 'nic_in_bytes:migration', 1],
    [5, 'nic_out_bytes:migration', 2],
    [5, 'nic_in_bytes:storage', 3],
    [5, 'nic_out_bytes:storage', 4],
  ]);
  t.deepEqual(events, []);
});

test('every poll of the migration is sampled, only a new status is an event', (t) => {
  const poll = (at: number, status: string, remaining: number): ProbeReport => ({
    report: 'migration',
    at,
    status,
    figures: { 'ram.remaining': remaining, 'ram.mbps': 12.5, 'cpu-throttle-percentage': 20 },
  });
  const { values, events } = taken([poll(1, 'active', 30), poll(2, 'active', 20), poll(3, 'completed', 0)]);
  t.deepEqual(
    values.filter(([, metric]) => metric === 'ram_remaining_bytes'),
    [
      [1, 'ram_remaining_bytes', 30],
      [2, 'ram_remaining_bytes', 20],
      [3, 'ram_remaining_bytes', 0],
    ],
  );
  t.deepEqual(values[1], [1, 'migration_bits_per_second', 12_500_000]);
  t.deepEqual(
    events.map((event) => event.event === 'migration-status' && [event.at_ms, event.status, event.figures]),
    [
      [1, 'active', { 'ram.remaining': 30, 'ram.mbps': 12.5, 'cpu-throttle-percentage': 20 }],
      [3, 'completed', { 'ram.remaining': 0, 'ram.mbps': 12.5, 'cpu-throttle-percentage': 20 }],
    ],
  );
});

test('sysbench: seconds become samples, lost connections events, other lines are kept, totals come with the end', (t) => {
  const exit = {
    report: 'exit',
    at: 9000,
    name: 'sysbench',
    exitCode: 1,
    signal: null,
    end: 'again',
  } as const;
  const second = {
    sysbench: 'second',
    seconds: 1,
    threads: 2,
    transactions: 4,
    reads: 40,
    writes: 20,
    others: 20,
    errors: 1,
    queued: 3,
    in_service: 2,
    latencies: [
      [10, 2],
      [20, 2],
    ],
  };
  const { values, events } = taken([
    line('Target transaction rate: 5/sec'),
    line(''),
    line(JSON.stringify(second), 2000),
    line(JSON.stringify({ sysbench: 'connection', state: 'lost', thread: 1, errno: 2013 }), 2500),
    exit,
  ]);
  t.deepEqual(values, [
    [2000, 'tps', 4],
    [2000, 'qps', 80],
    [2000, 'read_qps', 40],
    [2000, 'write_qps', 20],
    [2000, 'errors_per_second', 1],
    [2000, 'reconnects_per_second', 0],
    [2000, 'offered_tps', 9],
    [2000, 'queued_transactions', 3],
    [2000, 'latency_p50_ms', 10],
    [2000, 'latency_p95_ms', 20],
    [2000, 'latency_p99_ms', 20],
    [2000, 'latency_ms', 10],
    [2000, 'latency_transactions', 2],
    [2000, 'latency_ms', 20],
    [2000, 'latency_transactions', 2],
  ]);
  t.deepEqual(
    events.map(({ event }) => event),
    ['output', 'connection', 'workload-ended'],
  );
  t.like(events[1], { at_ms: 2500, probe: 'sysbench', state: 'lost', detail: 'thread 1, error 2013' });
  t.like(events[2], { exit_code: 1, end: 'again', figures: { transactions: 4, errors: 1, reconnects: 0 } });
});

test('a gap is dated by its beginning', (t) => {
  const { values, events } = taken([
    { report: 'gap', at: 400, probe: 'ping', fromMs: 100, toMs: 400, gapMs: 300, open: false },
    { report: 'gap', at: 500, probe: 'heartbeat', fromMs: 90, toMs: 500, gapMs: 410, open: true },
  ]);
  t.deepEqual(values, [
    [100, 'client_gap_ms', 300],
    [90, 'heartbeat_gap_ms', 410],
  ]);
  t.deepEqual(events[0], {
    event: 'probe-gap',
    at_ms: 100,
    host: 'client',
    probe: 'ping',
    gap_ms: 300,
    open: false,
  });
});

test('whatever a recorder may report, what comes of it fits the schemas and the table of metrics', (t) => {
  const one: Record<ProbeReport['report'], ProbeReport> = {
    clock: { report: 'clock', at: 1, id: 1 },
    nic: { report: 'nic', at: 1, networks: { service: { inBytes: 1, outBytes: 1 } } },
    'qmp-event': { report: 'qmp-event', at: 1, receivedAt: 2, name: 'STOP', data: {} },
    migration: {
      report: 'migration',
      at: 1,
      status: 'failed',
      figures: {
        'ram.remaining': 1,
        'ram.transferred': 1,
        'ram.total': 1,
        'ram.duplicate': 1,
        'ram.normal': 1,
        'ram.dirty-pages-rate': 1,
        'ram.dirty-sync-count': 1,
        'ram.mbps': 1,
        'expected-downtime': 1,
        'total-time': 1,
      },
      error: 'Connection refused',
    },
    gap: { report: 'gap', at: 1, probe: 'heartbeat', fromMs: 0, toMs: 1, gapMs: 1, open: false },
    answers: { report: 'answers', at: 1, probe: 'heartbeat', answers: 1 },
    ledger: { report: 'ledger', at: 1, acknowledged: 1, unknown: 0 },
    connection: { report: 'connection', at: 1, probe: 'qmp', state: 'lost', detail: '' },
    line: { report: 'line', at: 1, name: 'x', stream: 'stderr', text: 'y' },
    exit: { report: 'exit', at: 1, name: 'x', exitCode: null, signal: 'SIGTERM', end: 'asked' },
    load: {
      report: 'load',
      at: 1,
      cpuPercent: 1,
      memAvailableBytes: 1,
      processes: { qemu: { cpuMs: 1, rssBytes: 1 } },
    },
    dropped: { report: 'dropped', at: 1, reports: 7 },
    'probe-ended': { report: 'probe-ended', at: 1, probe: 'ping', answers: 1, longestGapMs: 1 },
    failed: { report: 'failed', at: 1, probe: 'ping', message: 'no fping' },
  };
  for (const [name, report] of Object.entries(one)) {
    t.deepEqual(reportSchema.parse(report), report, name);
    const { events, samples } = taken([report]);
    if (name !== 'clock') t.true(events.length + samples.length > 0, name);
    for (const event of events) runEventSchema.parse(event);
    for (const sample of samples) {
      sampleSchema.parse(sample);
      t.true(isKnownMetric(sample.metric), sample.metric);
    }
  }
  t.true(isKnownMetric('engine_pages_restored'));
  for (const unknown of ['tpm', 'nic_in_bytes', 'nic_in_bytes:', 'tps:x', 'toString'])
    t.false(isKnownMetric(unknown));
});
