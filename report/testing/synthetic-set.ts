/** Synthetic runs, for tests of figures and statistics on a full grid. Nothing here was measured. */
import { paperRowsGib as allPaperRowsGib } from '../../experiments/paper-rows.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import type { RunRow } from '../record/run-row.ts';
import type { Point } from '../../record/series.ts';
import { normal, seededRandom } from '../statistics/seeded-random.ts';
import {
  syntheticLinkBitsPerSecond,
  syntheticManifest,
  syntheticRateTps,
  syntheticScale,
  syntheticThreads,
  vmBytesOf,
  type SyntheticCell,
} from './synthetic-manifest.ts';

export interface SyntheticOptions {
  readonly scenarios?: readonly string[];
  readonly paperRowsGib?: readonly number[];
  readonly engines?: readonly string[];
  readonly repeats?: number;
  readonly seed?: number;
  /** Relative standard deviation of every figure. */
  readonly noise?: number;
  /** Multiplies times and bytes of one engine. */
  readonly slower?: Readonly<Record<string, number>>;
}

const syntheticName = 'synthetic';
const linkBytesPerSecond = syntheticLinkBitsPerSecond / 8;

export function syntheticSet(options: SyntheticOptions = {}): RunSet {
  const {
    scenarios = ['idle', 'ro', 'rw'],
    paperRowsGib = allPaperRowsGib,
    engines = ['precopy', 'restore'],
    repeats = 1,
    seed = 1,
    noise = 0.03,
    slower = {},
  } = options;
  const random = seededRandom(seed);
  const noisy = (value: number): number => Math.max(0, value * (1 + noise * normal(random)));
  const runs = scenarios.flatMap((scenario) =>
    paperRowsGib.flatMap((paperRowGib) =>
      engines.flatMap((engine) =>
        Array.from({ length: repeats }, (_, index) =>
          syntheticRun({
            scenario,
            paperRowGib,
            engine,
            repeat: index + 1,
            noisy,
            factor: slower[engine] ?? 1,
          }),
        ),
      ),
    ),
  );
  return { names: [syntheticName], runs, leftOut: [], planned: [], recordedPlans: [] };
}

interface Place extends SyntheticCell {
  readonly noisy: (value: number) => number;
  readonly factor: number;
}

function syntheticRun({ scenario, paperRowGib, engine, repeat, noisy, factor }: Place): Run {
  const isRestore = engine !== 'precopy';
  const vmBytes = vmBytesOf(paperRowGib);
  const listed = isRestore ? Math.round((vmBytes * 0.6) / 4096) : undefined;
  const contentBytes = vmBytes * 0.9;
  const storageBytes = isRestore ? contentBytes * 0.6 : 100;
  const sentBytes = contentBytes * (scenario === 'rw' ? 1.2 : 1) - (isRestore ? storageBytes : 0);
  const totalMs = noisy((1000 * Math.max(sentBytes, storageBytes)) / linkBytesPerSecond) * factor;
  const hasLoad = scenario !== 'idle';
  const name = `${scenario}-${paperRowGib}-${engine}-r${repeat}`;
  const row: RunRow = {
    run_id: `synthetic-${name}`,
    outcome: 'completed',
    testbed: 'local',
    accelerator: 'tcg',
    dbms: 'mariadb',
    scenario,
    engine,
    paper_row_gib: paperRowGib,
    scale: syntheticScale,
    repeat,
    link_bits_per_second: syntheticLinkBitsPerSecond,
    storage_link_bits_per_second: syntheticLinkBitsPerSecond,
    service_link_bits_per_second: syntheticLinkBitsPerSecond,
    vm_memory_bytes: vmBytes,
    buffer_pool_bytes: vmBytes * 0.75,
    threads: syntheticThreads,
    rate_tps: syntheticRateTps,
    downtime_limit_ms: 300,
    total_time_ms: totalMs,
    downtime_stop_resume_ms: noisy(250),
    downtime_client_ms: noisy(290),
    downtime_heartbeat_ms: noisy(340),
    downtime_qemu_ms: noisy(180),
    migration_link_bytes: noisy(sentBytes) * factor,
    storage_link_bytes_dst: noisy(storageBytes) * factor,
    tps_before: hasLoad ? noisy(8) : undefined,
    tps_during: hasLoad ? noisy(6) : undefined,
    tps_after: hasLoad ? noisy(8) : undefined,
    tps_recovery_ms: hasLoad ? totalMs + 1000 : undefined,
    tps_recovery_measurable: hasLoad ? true : undefined,
    memory_zero_bytes: vmBytes * 0.1,
    pool_in_use_bytes: vmBytes * 0.6,
    memory_page_cache_bytes: vmBytes * 0.1,
    memory_other_bytes: vmBytes * 0.2,
    content_bytes: contentBytes,
    bound_ms: (500 * contentBytes) / linkBytesPerSecond,
    efficiency: (500 * contentBytes) / linkBytesPerSecond / totalMs,
    busiest_link_efficiency: 0.95,
    pages_listed: listed,
    pages_left_out: listed,
    pages_restored: listed === undefined ? undefined : listed - 30,
    pages_mismatched: isRestore ? 20 : undefined,
    pages_unreadable: isRestore ? 0 : undefined,
    pages_cancelled: isRestore ? 10 : undefined,
    pages_sent_after_all: isRestore ? 20 : undefined,
    list_find_ms: isRestore ? noisy(12 * paperRowGib) : undefined,
    list_translate_ms: isRestore ? noisy(8 * paperRowGib) : undefined,
    list_map_ms: isRestore ? noisy(20) : undefined,
    list_encode_ms: isRestore ? noisy(5 * paperRowGib) : undefined,
    list_send_ms: isRestore ? noisy(3 * paperRowGib) : undefined,
    engine_cpu_ms_src: isRestore ? noisy(1500) : undefined,
    engine_cpu_ms_dst: isRestore ? noisy(2500) : undefined,
    qemu_cpu_ms_dst: noisy(2000),
  };
  const event = { at_ms: 0, event: 'engine' } as const;
  const qmp = { at_ms: 0, event: 'qmp', data: {}, delay_ms: 0 } as const;
  return {
    name,
    set: syntheticName,
    row,
    manifest: syntheticManifest(row.run_id, { scenario, paperRowGib, engine, repeat }),
    events: [
      { event: 'migrate-command', host: 'harness', at_ms: 0, uri: 'unix:synthetic', tMs: 0 },
      ...(isRestore
        ? [
            { ...event, host: 'src' as const, name: 'listed', fields: { list_total_ms: 200 }, tMs: 250 },
            { ...event, host: 'dst' as const, name: 'gate-held', fields: {}, tMs: totalMs * 0.7 },
            {
              ...event,
              host: 'dst' as const,
              name: 'gate-released',
              fields: { held_ms: totalMs * 0.25 },
              tMs: totalMs * 0.95,
            },
          ]
        : []),
      { ...qmp, host: 'src', name: 'STOP', tMs: totalMs - 250 },
      { ...qmp, host: 'dst', name: 'RESUME', tMs: totalMs },
    ],
    series: syntheticSeries({
      totalMs,
      vmBytes,
      sentBytes,
      storageBytes,
      listed,
      hasLoad,
      dirtyPages: scenario === 'rw' ? 1500 : 400,
      noisy,
    }),
  };
}

interface Shape {
  readonly totalMs: number;
  readonly vmBytes: number;
  readonly sentBytes: number;
  readonly storageBytes: number;
  readonly listed: number | undefined;
  readonly hasLoad: boolean;
  /** In a second. */
  readonly dirtyPages: number;
  readonly noisy: (value: number) => number;
}

function syntheticSeries({
  totalMs,
  vmBytes,
  sentBytes,
  storageBytes,
  listed,
  hasLoad,
  dirtyPages,
  noisy,
}: Shape) {
  const points = (fromMs: number, toMs: number, stepMs: number, value: (tMs: number) => number): Point[] =>
    Array.from({ length: Math.floor((toMs - fromMs) / stepMs) }, (_, index) => {
      const tMs = fromMs + index * stepMs;
      return { tMs, value: value(tMs) };
    });
  const share = (tMs: number): number => Math.min(1, Math.max(0, tMs / totalMs));
  const stepMs = Math.max(200, totalMs / 150);
  const around = (value: (tMs: number) => number) => points(-10_000, totalMs + 10_000, stepMs, value);
  const seconds = (value: (tMs: number) => number) => points(-30_000, totalMs + 60_000, 1000, value);
  return new Map<string, readonly Point[]>([
    ['src nic_out_bytes:migration', around((tMs) => sentBytes * share(tMs))],
    ['dst nic_in_bytes:storage', around((tMs) => storageBytes * share(tMs))],
    ['src ram_remaining_bytes', points(0, totalMs, stepMs, (tMs) => vmBytes * (1 - share(tMs)))],
    ['src ram_total_bytes', points(0, totalMs, stepMs, () => vmBytes)],
    ['src ram_zero_pages', points(0, totalMs, stepMs, (tMs) => (vmBytes * 0.1 * share(tMs)) / 4096)],
    ['src ram_normal_pages', points(0, totalMs, stepMs, (tMs) => (vmBytes * share(tMs)) / 4096)],
    ['src dirty_sync_count', points(0, totalMs, stepMs, (tMs) => 1 + Math.floor(share(tMs) * 4))],
    ...(listed === undefined
      ? []
      : [
          [
            'src engine_pages_left_out',
            points(0, totalMs, stepMs, (tMs) => listed * share(2 * tMs)),
          ] as const,
          ['dst engine_pages_restored', points(0, totalMs, stepMs, (tMs) => listed * share(tMs))] as const,
        ]),
    ...(hasLoad
      ? [
          ['src dirty_pages_per_second', points(0, totalMs, stepMs, () => noisy(dirtyPages))] as const,
          ['client tps', seconds((tMs) => noisy(tMs > 0 && tMs < totalMs ? 6 : 8))] as const,
          [
            'client queued_transactions',
            seconds((tMs) => (tMs > totalMs && tMs < totalMs + 3000 ? 5 : 0)),
          ] as const,
          ['client latency_p95_ms', seconds((tMs) => noisy(tMs > 0 && tMs < totalMs ? 400 : 250))] as const,
        ]
      : []),
  ]);
}
