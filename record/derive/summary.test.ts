import test from 'ava';
import type { RunEvent, Sample } from '../event.ts';
import type { Manifest } from '../manifest.ts';
import { command, connected, every, gap, manifest, qmp, restarted, status } from '../record.fixture.ts';
import { runColumns } from '../run-columns.ts';
import { summarize } from './summary.ts';

const figures = {
  'ram.total': 2_000_000_000,
  'ram.page-size': 4096,
  'ram.duplicate': 100_000,
  'ram.dirty-sync-count': 4,
  'ram.transferred': 1_700_000_000,
  downtime: 210,
};

/** Command at 100 s, STOP at 160, RESUME at 160.3, completed at 160.5. */
const migrated: readonly RunEvent[] = [
  gap(50_000, 'ping', 900),
  command(100_000),
  gap(120_000, 'ping', 35),
  gap(159_990, 'ping', 325),
  gap(159_980, 'heartbeat', 410),
  qmp(160_000, 'src', 'STOP'),
  qmp(160_300, 'dst', 'RESUME'),
  qmp(160_500, 'src', 'MIGRATION', { status: 'completed' }),
  status(160_600, 'completed', figures),
  gap(170_000, 'heartbeat', 4000),
  {
    event: 'check',
    at_ms: 1,
    host: 'harness',
    name: 'ledger',
    ok: true,
    detail: '',
    figures: { acknowledged: 812, lost: 0 },
  },
  { event: 'check', at_ms: 1, host: 'harness', name: 'tables', ok: true, detail: '', figures: {} },
  { event: 'run-ended', at_ms: 1, host: 'harness', outcome: 'completed' },
];

/** 8 TPS; half of it during the migration, and 7 after. */
const seconds = [...Array<number>(100).fill(8), ...Array<number>(60).fill(4), ...Array<number>(90).fill(7)];
const samples: readonly Sample[] = [
  ...every(1000, 1000, 'client', 'tps', seconds),
  // 12 MB/s out of src, 1 MB/s between nfs and both hosts; a sample every 10 s.
  ...every(
    10_000,
    0,
    'src',
    'nic_out_bytes:migration',
    [...Array(20).keys()].map((index) => index * 120_000_000),
  ),
  ...every(10_000, 0, 'src', 'nic_in_bytes:migration', Array<number>(20).fill(7)),
  ...every(
    10_000,
    0,
    'src',
    'nic_in_bytes:storage',
    [...Array(20).keys()].map((index) => index * 10_000_000),
  ),
  ...every(
    10_000,
    0,
    'src',
    'nic_out_bytes:storage',
    [...Array(20).keys()].map((index) => index * 5_000_000),
  ),
  ...every(
    10_000,
    0,
    'dst',
    'nic_in_bytes:storage',
    [...Array(20).keys()].map((index) => index * 20_000_000),
  ),
  ...every(10_000, 0, 'dst', 'nic_out_bytes:storage', Array<number>(20).fill(3)),
  ...every(
    10_000,
    0,
    'src',
    'process_cpu_ms:qemu',
    [...Array(20).keys()].map((index) => index * 8000),
  ),
  // As a restart has it; a migration's target is there from the command on.
  ...every(10_000, 110_000, 'dst', 'process_cpu_ms:qemu', [500, 4500, 6500, 8500, 9000, 9500]),
];

const name = 'rw-16-precopy-r1';
const summary = (events: readonly RunEvent[], changes: Partial<Manifest> = {}) =>
  summarize({ name, manifest: { ...manifest, ...changes }, events, samples });

test('a completed migration', (t) => {
  const row = summary(migrated);
  t.like(row, {
    outcome: 'completed',
    mem_gib: 16,
    paper_row_gib: 16,
    cpu_model: 'x',
    cpu_cores: 2,
    vm_memory_bytes: 2_147_483_648,
    total_time_ms: 60_500,
    downtime_stop_resume_ms: 300,
    downtime_client_ms: 325,
    downtime_heartbeat_ms: 410,
    downtime_qemu_ms: 210,
    downtime_limit_reached_ms: 300,
    dirty_sync_count: 4,
    converged: true,
    migration_link_bytes: 60.5 * 12_000_000,
    storage_link_bytes_src: 60.5 * 1_500_000,
    storage_link_bytes_dst: 60.5 * 2_000_000,
    qemu_transferred_bytes: 1_700_000_000,
    qemu_cpu_ms_src: 60.5 * 800,
    qemu_cpu_ms_dst: undefined,
    postcopy_blocktime_ms: undefined,
    tps_before: 8,
    tps_during: 4,
    ledger_acknowledged: 812,
    ledger_lost: 0,
    tables_ok: true,
    content_bytes: 1_590_400_000,
  });
  // 15 + 10 MB/s together.
  t.is(row.bound_ms, 63_616);
  t.is(row.efficiency, 63_616 / 60_500);
  // The migration link: 726 MB at 15 MB/s; storage: 121 MB at 10 MB/s.
  t.is(row.busiest_link_ms, 48_400);
  t.is(row.busiest_link_efficiency, 0.8);
  // The second that ends at 161 s has its middle at the end of the migration.
  t.is(row.tps_after, 7);
  t.is(row.tps_recovery_ms, 60_000, '7 of 8 cannot be told from noise');
  t.true(row.tps_recovery_measurable);
  t.is(row.pages_listed, undefined);
});

test('throughput that comes back', (t) => {
  const back = seconds.map((value) => (value === 7 ? 8 : value));
  const row = summarize({
    name,
    manifest,
    events: migrated,
    samples: every(1000, 1000, 'client', 'tps', back),
  });
  // The last slow second ends at 160 s.
  t.is(row.tps_recovery_ms, 60_000);
  t.true(row.tps_recovery_measurable);
  t.is(row.migration_link_bytes, undefined, 'no counters in these samples');
});

const latencySamples = (atMs: number, ms: number, transactions: number): Sample[] => [
  { at_ms: atMs, host: 'client', metric: 'latency_ms', value: ms },
  { at_ms: atMs, host: 'client', metric: 'latency_transactions', value: transactions },
];

test('a load with a rate: what fell due, what waited, and latencies of each span from its histograms', (t) => {
  const loaded = (offeredBefore: number) =>
    summarize({
      name,
      manifest,
      events: migrated,
      samples: [
        ...every(1000, 1000, 'client', 'tps', seconds),
        ...every(1000, 1000, 'client', 'offered_tps', [
          ...Array<number>(100).fill(offeredBefore),
          ...Array<number>(150).fill(8),
        ]),
        ...every(1000, 1000, 'client', 'queued_transactions', [...Array<number>(150).fill(2), 240, 17, 5]),
        ...latencySamples(60_000, 9999, 99), // more than 30 s before
        ...latencySamples(80_000, 10, 90),
        ...latencySamples(90_000, 50, 9),
        ...latencySamples(95_000, 70, 1),
        ...latencySamples(130_000, 400, 10),
      ],
    });
  t.like(loaded(8.25), {
    offered_tps_before: 8.25,
    offered_tps_during: 8,
    queued_max_before: 2,
    queued_max_during: 240,
    queued_max_after: undefined,
    rate_reached: true,
    latency_p50_before_ms: 10,
    latency_p95_before_ms: 50,
    latency_p99_before_ms: 50,
    latency_p50_during_ms: 400,
    latency_p99_during_ms: 400,
    latency_p99_after_ms: undefined,
  });
  t.false(loaded(9).rate_reached, '8 of 9 were completed');
  const fullSpeed = { ...manifest, configuration: { ...manifest.configuration, rateTps: 0 } };
  t.is(summarize({ name, manifest: fullSpeed, events: migrated, samples }).rate_reached, undefined);
});

test('the guest’s clock before and after, by the surest second in which one VM answered', (t) => {
  const row = summarize({
    name,
    manifest,
    events: migrated,
    samples: [
      ...every(1000, 88_900, 'client', 'guest_clock_offset_ms', [
        -9,
        ...Array<number>(10).fill(-300),
        -2,
        -3,
      ]),
      ...every(1000, 88_900, 'client', 'guest_clock_uncertainty_ms', [
        0.1,
        ...Array<number>(10).fill(2),
        1,
        1,
      ]),
      ...every(1000, 160_900, 'client', 'guest_clock_offset_ms', [-310, -640, -660]),
      ...every(1000, 160_900, 'client', 'guest_clock_uncertainty_ms', [0.2, 3, 0.8]),
    ],
  });
  t.like(row, { clock_offset_before_ms: -2, clock_offset_after_ms: -660, clock_jump_ms: -658 });
  t.is(summarize({ name, manifest, events: migrated, samples }).clock_jump_ms, undefined);
});

test('a load that lost connections or was started again is marked', (t) => {
  const load = (events: readonly RunEvent[], perSecond: readonly number[]) =>
    summarize({
      name,
      manifest,
      events,
      samples: [
        ...every(1000, 1000, 'client', 'tps', [8, 8, 8, 8]),
        ...every(1000, 1000, 'client', 'errors_per_second', [0, 1.002, 0, 2.99]),
        ...every(1000, 1000, 'client', 'reconnects_per_second', perSecond),
      ],
    });
  const ended = (at_ms: number): RunEvent => ({
    event: 'workload-ended',
    at_ms,
    host: 'client',
    exit_code: 1,
    signal: null,
    end: 'again',
    figures: {},
  });
  t.like(load([ended(9000)], [0, 0, 0, 0]), {
    load_errors: 4,
    load_reconnects: 0,
    load_restarts: 0,
    load_interrupted: false,
  });
  t.like(load([ended(9000)], [0, 0.998, 0, 0]), { load_reconnects: 1, load_interrupted: true });
  t.like(load([ended(2500), ended(9000)], [0, 0, 0, 0]), { load_restarts: 1, load_interrupted: true });
  // A report that came late is of two seconds: its rate is no count, and sysbench's own counts are.
  const counted = (at_ms: number) => ({ ...ended(at_ms), figures: { errors: 7, reconnects: 1 } });
  t.like(load([counted(9000)], [0, 0.4, 0, 0]), {
    load_errors: 7,
    load_reconnects: 1,
    load_interrupted: true,
  });
  // The last one was killed, and did not say.
  t.like(load([counted(2500)], [0, 0, 0, 0]), { load_errors: 4, load_reconnects: 0, load_restarts: 1 });
  t.is(summarize({ name, manifest, events: migrated, samples: [] }).load_interrupted, undefined);
});

test('what multifd compresses is told from the bytes that crossed its link', (t) => {
  const configuration = { ...manifest.configuration, engine: 'multifd-zstd' as const };
  const row = summary(migrated, { configuration });
  const ratio = 1_590_400_000 / 726_000_000;
  t.is(row.compression_ratio_total, ratio);
  // 15 MB/s as ever over storage, and as much more as was saved over the migration link.
  t.is(row.bound_compressed_ms, (1000 * 1_590_400_000) / (15e6 * ratio + 10e6));
  t.is(row.efficiency_compressed, (row.bound_compressed_ms ?? 0) / 60_500);
  t.is(summary(migrated).efficiency_compressed, undefined);
});

test('the downtime limit is that which QEMU was told last', (t) => {
  const raised = every(10_000, 130_000, 'src', 'downtime_limit_ms', [375, 469]);
  t.is(summarize({ name, manifest, events: migrated, samples: raised }).downtime_limit_reached_ms, 469);
});

test('when the target resumes after the source has completed, that is the end', (t) => {
  const late = migrated.map((event) =>
    event.event === 'qmp' && event.host === 'dst' ? { ...event, at_ms: 161_000 } : event,
  );
  t.like(summary(late), { total_time_ms: 61_000, downtime_stop_resume_ms: 1000 });
});

test('a migration that was cancelled has no times, but what it sent is known', (t) => {
  const row = summary([
    command(100_000),
    status(150_000, 'cancelled', { 'ram.dirty-sync-count': 9, 'ram.transferred': 5 }),
    { event: 'run-ended', at_ms: 2, host: 'harness', outcome: 'not-converged' },
  ]);
  t.like(row, {
    outcome: 'not-converged',
    converged: false,
    dirty_sync_count: 9,
    migration_link_bytes: 600_000_000,
    tps_during: 4,
  });
  for (const column of [
    'total_time_ms',
    'downtime_client_ms',
    'bound_ms',
    'efficiency',
    'downtime_qemu_ms',
  ] as const) {
    t.is(row[column], undefined, column);
  }
});

test('a run that failed before its migration is a row all the same', (t) => {
  const row = summarize({ name, manifest, events: [], samples: [] });
  t.is(row.run_id, name, 'the folder’s, which the set’s table can be joined by');
  t.is(row.converged, undefined);
  t.is(row.total_time_ms, undefined);
});

test('a migration that was stopped with its run neither converged nor did not', (t) => {
  const stopped = [command(100_000), status(150_000, 'cancelled')];
  const failed = { event: 'step-failed', at_ms: 149_000, host: 'harness', step: 'migrate' } as const;
  t.is(
    summary([...stopped, { ...failed, duration_ms: 1, message: 'interrupted by SIGINT' }]).converged,
    undefined,
  );
  t.false(summary(stopped).converged);
});

test('nothing in a row is infinite, whatever was counted', (t) => {
  const configuration = { ...manifest.configuration, engine: 'multifd-zstd' } as const;
  const still = every(10_000, 0, 'src', 'nic_out_bytes:migration', Array<number>(20).fill(0));
  const row = summarize({ name, manifest: { ...manifest, configuration }, events: migrated, samples: still });
  t.is(row.migration_link_bytes, 0);
  t.is(row.compression_ratio_total, undefined);
  for (const [column, value] of Object.entries(row))
    t.true(typeof value !== 'number' || Number.isFinite(value), column);
});

test('a failed migration neither converged nor did not', (t) => {
  t.is(summary([command(100_000), status(101_000, 'failed')]).converged, undefined);
});

test('with --verify-ram the target’s start is part of the check and not of the migration', (t) => {
  const ram = { pages_compared: 524_288, pages_differing: 0 };
  const row = summary(
    [
      ...migrated,
      { event: 'check', at_ms: 3, host: 'harness', name: 'ram', ok: true, detail: '', figures: ram },
    ].filter((event) => event.event !== 'qmp' || event.host !== 'dst') as RunEvent[],
    { configuration: { ...manifest.configuration, verifyRam: true } },
  );
  t.like(row, { total_time_ms: 60_500, ram_pages_compared: 524_288, ram_pages_differing: 0 });
  t.is(row.downtime_stop_resume_ms, undefined);
});

test('engine figures: the last of each, from the engine that keeps it', (t) => {
  const engine = (host: 'src' | 'dst', name: string, fields: Record<string, number>): RunEvent => ({
    event: 'engine',
    at_ms: 1,
    host,
    name,
    fields,
  });
  const row = summary([
    engine('src', 'listed', { pages_listed: 1000, list_find_ms: 12.5 }),
    engine('src', 'done', { pages_listed: 1001, pages_left_out: 900, pages_restored: 0, cpu_ms: 500 }),
    engine('dst', 'done', { pages_listed: 0, pages_left_out: 0, pages_restored: 890, cpu_ms: 700 }),
  ]);
  t.like(row, {
    pages_listed: 1001,
    pages_left_out: 900,
    pages_restored: 890,
    list_find_ms: 12.5,
    engine_cpu_ms_src: 500,
    engine_cpu_ms_dst: 700,
  });
  t.is(row.pages_mismatched, undefined);
});

test('a row has no column that the table does not have', (t) => {
  t.deepEqual(
    Object.keys(summary(migrated)).filter((column) => !Object.hasOwn(runColumns, column)),
    [],
  );
});

test('a replica has its downtime from when the source was told to end, and the time of both servers', (t) => {
  const row = summary([
    command(100_000),
    restarted(110_000, 'copied'),
    restarted(120_000, 'pool-loaded', 'client'),
    restarted(121_000, 'caught-up'),
    restarted(122_000, 'source-closed'),
    restarted(123_000, 'vm-stopped'),
    restarted(123_500, 'vm-started'),
    restarted(124_000, 'server-answers'),
  ]);
  t.like(row, {
    total_time_ms: 24_000,
    downtime_stop_resume_ms: 2000,
    pool_loaded_ms: 20_000,
    servers_both_ms: 13_000,
  });
});

test('a pool that is shrunk before and filled afterwards has the time of both', (t) => {
  const pool = (at_ms: number, phase: 'shrunk' | 'given-back' | 'grown' | 'loaded'): RunEvent => ({
    event: 'pool',
    at_ms,
    host: 'harness',
    phase,
    bytes: 1,
  });
  const row = summary([
    command(100_000),
    pool(103_000, 'shrunk'),
    pool(104_500, 'given-back'),
    qmp(160_000, 'src', 'STOP'),
    qmp(160_300, 'dst', 'RESUME'),
    qmp(160_500, 'src', 'MIGRATION', { status: 'completed' }),
    pool(161_000, 'grown'),
    pool(190_000, 'loaded'),
  ]);
  t.like(row, { pool_shrunk_ms: 4500, total_time_ms: 60_500, pool_loaded_ms: 90_000 });
});

test('a restart has times and bytes by link, and nothing that only a migration stream has', (t) => {
  const row = summary([
    command(100_000),
    gap(100_100, 'heartbeat', 19_900),
    gap(102_000, 'ping', 6000),
    restarted(102_100, 'vm-stopped'),
    restarted(102_400, 'vm-started'),
    connected(120_000, 'heartbeat'),
    restarted(120_300, 'server-answers'),
    restarted(160_000, 'pool-loaded', 'client'),
    { event: 'run-ended', at_ms: 200_000, host: 'harness', outcome: 'completed' },
  ]);
  t.like(row, {
    total_time_ms: 60_000,
    downtime_stop_resume_ms: 20_000,
    downtime_client_ms: 6000,
    downtime_heartbeat_ms: 19_900,
    pool_loaded_ms: 60_000,
    converged: true,
    storage_link_bytes_dst: 120_000_000,
    qemu_cpu_ms_src: 48_000,
    qemu_cpu_ms_dst: 9500,
    tps_before: 8,
    tps_during: 4,
    tps_after: 7,
  });
  for (const column of [
    'downtime_qemu_ms',
    'downtime_limit_reached_ms',
    'dirty_sync_count',
    'qemu_transferred_bytes',
    'content_bytes',
    'bound_ms',
    'efficiency',
    'pages_listed',
  ] as const)
    t.is(row[column], undefined, column);
});

test('the time for which a VM in post-copy was blocked is what the target says', (t) => {
  const row = summary([...migrated, status(160_700, 'completed', { 'postcopy-blocktime': 4321 }, 'dst')]);
  t.is(row.postcopy_blocktime_ms, 4321);
});
