/** One row of runs.csv, derived from what a run recorded. Pure. Definitions: runColumns, and docs/measurements.md. */
import { engines, type EngineName } from '../../experiments/engines.ts';
import { shardName } from '../../experiments/shard.ts';
import type { EngineCounters, RecordedField } from '../engine-event.ts';
import type { ClockName, RunEvent } from '../event.ts';
import { latenciesBySecond, type Percentile, percentileMs } from '../latency.ts';
import type { RunRecord } from '../read-run.ts';
import type { RunRow } from '../run-columns.ts';
import {
  counterIncrease,
  maxOfSeconds,
  meanOfSeconds,
  type Point,
  processIncrease,
  seriesOf,
  within,
} from '../series.ts';
import { timelineOf, type Timeline } from './timeline.ts';
import { tpsRecovery, type TpsRecovery } from './tps-recovery.ts';

/** TPS before and after are means over at most so long. */
const loadWindowMs = 30_000;

/** The guest's clock is asked for within this of the migration. */
const clockWindowMs = 10_000;

/** A load reaches its rate if it completes this share of what falls due: below it, the queue grows all the time. */
const reachedShare = 0.95;

/** Names of the `check` events whose figures become columns, with the figures that they must carry. */
export const checkFigures = {
  /** Figures `acknowledged` and `lost`. */
  ledger: 'ledger',
  /** No figures: `ok` becomes tables_ok. */
  tables: 'tables',
  /** Figures `pages_compared` and `pages_differing`. */
  ram: 'ram',
} as const;

export function summarize(record: RunRecord): RunRow {
  const timeline = timelineOf(record.events);
  return {
    ...identity(record),
    ...durations(record, timeline),
    ...consumption(record, timeline),
    ...throughput(record, timeline),
    ...loadTrouble(record),
    ...guestClock(record, timeline),
    ...checks(record.events),
    ledger_unknown: seriesOf(record.samples, 'client', 'ledger_unknown').at(-1)?.value,
    ...engineFigures(record.events),
  };
}

function identity({ name, manifest, events }: RunRecord) {
  const { configuration } = manifest;
  return {
    run_id: name,
    started_at: manifest.startedAt,
    outcome: events.findLast((event) => event.event === 'run-ended')?.outcome,
    testbed: configuration.testbed,
    accelerator: manifest.accelerator.name,
    dbms: configuration.dbms,
    scenario: configuration.scenario,
    paper_row_gib: configuration.paperRowGib,
    mem_gib: configuration.paperRowGib,
    scale: configuration.scale,
    vm_memory_bytes: configuration.vmMemoryBytes,
    buffer_pool_bytes: configuration.bufferPoolBytes,
    pool_in_use_bytes: manifest.poolInUseReachedBytes,
    link_bits_per_second: configuration.linkBitsPerSecond,
    threads: configuration.threads,
    rate_tps: configuration.rateTps,
    downtime_limit_ms: configuration.downtimeLimitMs,
    engine: configuration.engine,
    repeat: manifest.repeat,
    seed: configuration.seed,
    shard: manifest.shard === undefined ? undefined : shardName(manifest.shard),
    pair: manifest.pair,
    cpu_model: manifest.machine.cpuModel,
    cpu_cores: manifest.machine.cores,
    storage_link_bits_per_second: configuration.storageLinkBitsPerSecond,
    service_link_bits_per_second: configuration.serviceLinkBitsPerSecond,
    before_switch_percent: configuration.beforeSwitchPercent,
    guest: configuration.guest ?? 'fresh',
    ...heldMemory(manifest),
  };
}

/** A page of zeros in a file is counted as both, so that the rest is a little more than this. */
function heldMemory({ configuration, heldMemory: held, poolInUseReachedBytes: pool }: RunRecord['manifest']) {
  if (held === undefined || pool === undefined) return {};
  const { zeroBytes, pageCacheBytes } = held;
  return {
    memory_zero_bytes: zeroBytes,
    memory_page_cache_bytes: pageCacheBytes,
    memory_other_bytes: Math.max(0, configuration.vmMemoryBytes - zeroBytes - pageCacheBytes - pool),
  };
}

/** When the migration is over: the source has completed and the target runs. */
export function endOf(timeline: Timeline | undefined, verifyRam: boolean): number | undefined {
  if (timeline?.ended?.status !== 'completed') return undefined;
  // With --verify-ram the target waits for the comparison, which is not part of the migration.
  if (verifyRam) return timeline.ended.atMs;
  return timeline.resumeMs === undefined ? undefined : Math.max(timeline.ended.atMs, timeline.resumeMs);
}

/** The numbers of `query-migrate` at the source's end of the migration. */
export function finalFigures(
  events: readonly RunEvent[],
  host: 'src' | 'dst' = 'src',
): Readonly<Record<string, number>> {
  const final = events.findLast((event) => event.event === 'migration-status' && event.host === host);
  return final?.event === 'migration-status' ? final.figures : {};
}

function durations({ manifest, events, samples }: RunRecord, timeline: Timeline | undefined) {
  const { verifyRam } = manifest.configuration;
  const isRestart = events.some((event) => event.event === 'restart');
  const endMs = endOf(timeline, verifyRam);
  const switchover =
    verifyRam || timeline?.stopMs === undefined || timeline.resumeMs === undefined
      ? undefined
      : { fromMs: timeline.stopMs, toMs: timeline.resumeMs };
  const figures = finalFigures(events);
  const passes = figures['ram.dirty-sync-count'];
  return {
    total_time_ms: timeline === undefined ? undefined : difference(endMs, timeline.commandMs),
    downtime_stop_resume_ms: difference(switchover?.toMs, switchover?.fromMs),
    vm_moved_ms: verifyRam || isRestart ? undefined : difference(timeline?.resumeMs, timeline?.commandMs),
    source_needed_ms: difference(sourceFreeMs(events), timeline?.commandMs),
    downtime_client_ms: longestGapDuring(events, 'ping', switchover),
    downtime_heartbeat_ms: longestGapDuring(events, 'heartbeat', switchover),
    downtime_qemu_ms: timeline?.ended?.status === 'completed' ? figures['downtime'] : undefined,
    downtime_limit_reached_ms:
      passes === undefined
        ? undefined
        : (seriesOf(samples, 'src', 'downtime_limit_ms').at(-1)?.value ??
          manifest.configuration.downtimeLimitMs),
    dirty_sync_count: passes,
    postcopy_blocktime_ms: finalFigures(events, 'dst')['postcopy-blocktime'],
    ...serverTimes(events, timeline),
    revision: manifest.revision.commit,
    dirty: manifest.revision.dirty,
    converged: convergedOf(events, timeline),
  };
}

/** When the pool was as it should be, since the command, and how long there were two servers. */
function serverTimes(events: readonly RunEvent[], timeline: Timeline | undefined) {
  const small = events.find((event) => event.event === 'pool' && event.phase === 'given-back');
  const full = events.find(
    (event) =>
      (event.event === 'pool' && event.phase === 'loaded') ||
      (event.event === 'restart' && event.phase === 'pool-loaded'),
  );
  const phase = (name: 'copied' | 'vm-stopped'): number | undefined =>
    events.find((event) => event.event === 'restart' && event.phase === name)?.at_ms;
  return {
    servers_both_ms: difference(phase('vm-stopped'), phase('copied')),
    pool_shrunk_ms: difference(small?.at_ms, timeline?.commandMs),
    pool_loaded_ms: difference(full?.at_ms, timeline?.commandMs),
  };
}

/** QEMU calls a migration that was told to stop now "cancelled", now "failed": the harness knows that it told it. */
function convergedOf(events: readonly RunEvent[], timeline: Timeline | undefined): boolean | undefined {
  const status = timeline?.ended?.status;
  if (status === 'completed') return true;
  const gaveUp = events.some((event) => event.event === 'run-ended' && event.outcome === 'not-converged');
  // One that was stopped with its run, as by Ctrl-C, might have converged.
  const wasStopped = events.some((event) => event.event === 'step-failed' && event.step === 'migrate');
  return gaveUp || (status === 'cancelled' && !wasStopped) ? false : undefined;
}

function longestGapDuring(
  events: readonly RunEvent[],
  probe: 'ping' | 'heartbeat',
  window: { readonly fromMs: number; readonly toMs: number } | undefined,
): number | undefined {
  if (window === undefined) return undefined;
  const gaps = events
    .filter((event) => event.event === 'probe-gap')
    .filter((gap) => gap.probe === probe && gap.at_ms < window.toMs && gap.at_ms + gap.gap_ms > window.fromMs)
    .map((gap) => gap.gap_ms);
  return gaps.length === 0 ? undefined : Math.max(...gaps);
}

/** What grew while the VM migrated. */
function consumption({ manifest, events, samples }: RunRecord, timeline: Timeline | undefined) {
  const endMs = endOf(timeline, manifest.configuration.verifyRam);
  const until = endMs ?? timeline?.ended?.atMs;
  const grown = (host: ClockName, metric: string): number | undefined => {
    if (timeline === undefined || until === undefined) return undefined;
    return round(counterIncrease(seriesOf(samples, host, metric), timeline.commandMs, until));
  };
  // A restart ends the QEMU of the source and starts that of the destination in between.
  const isRestart = events.some((event) => event.event === 'restart');
  const qemuCpu = (host: ClockName): number | undefined => {
    const metric = `process_cpu_ms:qemu${manifest.vm === undefined ? '' : `-${manifest.vm}`}`;
    if (!isRestart || timeline === undefined || until === undefined) return grown(host, metric);
    return round(processIncrease(seriesOf(samples, host, metric), timeline.commandMs, until));
  };
  // Each sample is the mean since the one before it, and they come at equal distances.
  const busyPercent = (host: ClockName): number | undefined => {
    if (timeline === undefined || until === undefined) return undefined;
    const values = seriesOf(samples, host, 'cpu_percent')
      .filter(({ tMs }) => tMs > timeline.commandMs && tMs <= until)
      .map(({ value }) => value);
    return values.length === 0
      ? undefined
      : values.reduce((total, value) => total + value, 0) / values.length;
  };
  const storageIn = grown('dst', 'nic_in_bytes:storage');
  const migrationBytes = grown('src', 'nic_out_bytes:migration');
  const figures = finalFigures(events);
  const { goodputBytesPerSecond: goodput } = manifest;
  const totalMs = timeline === undefined ? undefined : difference(endMs, timeline.commandMs);

  const pageSize = figures['ram.page-size'] ?? 4096;
  const total = figures['ram.total'];
  const zeroPages = figures['ram.duplicate'];
  const contentBytes =
    total === undefined || zeroPages === undefined ? undefined : Math.max(0, total - zeroPages * pageSize);
  // VMs that move at once are alike, and share the links.
  const { vms = 1 } = manifest.configuration;
  const allBytes = contentBytes === undefined ? undefined : vms * contentBytes;
  const bound_ms = transferMs(allBytes, goodput && goodput.migration + goodput.storage);
  const compression =
    engineFigure(events, 'src', 'compression_ratio_total') ??
    stockCompression(
      manifest.configuration.engine,
      contentBytes,
      vms === 1 ? migrationBytes : figures['ram.transferred'],
    );
  const bound_compressed_ms =
    compression === undefined
      ? undefined
      : transferMs(allBytes, goodput && goodput.migration * compression + goodput.storage);
  const busiest_link_ms =
    migrationBytes === undefined || storageIn === undefined || goodput === undefined
      ? undefined
      : 1000 * Math.max(migrationBytes / goodput.migration, storageIn / goodput.storage);
  return {
    migration_link_bytes: migrationBytes,
    service_link_bytes: grown('src', 'nic_out_bytes:service'),
    storage_link_bytes_src: sum(grown('src', 'nic_in_bytes:storage'), grown('src', 'nic_out_bytes:storage')),
    storage_link_bytes_dst: sum(storageIn, grown('dst', 'nic_out_bytes:storage')),
    qemu_transferred_bytes: figures['ram.transferred'],
    cpu_percent_src: busyPercent('src'),
    cpu_percent_dst: busyPercent('dst'),
    qemu_cpu_ms_src: qemuCpu('src'),
    qemu_cpu_ms_dst: qemuCpu('dst'),
    content_bytes: totalMs === undefined ? undefined : contentBytes,
    bound_ms: totalMs === undefined ? undefined : bound_ms,
    efficiency: ratio(bound_ms, totalMs),
    compression_ratio_total: compression,
    bound_compressed_ms: totalMs === undefined ? undefined : bound_compressed_ms,
    efficiency_compressed: ratio(bound_compressed_ms, totalMs),
    busiest_link_ms: totalMs === undefined ? undefined : busiest_link_ms,
    busiest_link_efficiency: ratio(busiest_link_ms, totalMs),
  };
}

/** QEMU does not say by how much multifd compressed, so pages that were sent again count against it. */
function stockCompression(
  name: EngineName,
  contentBytes: number | undefined,
  migrationBytes: number | undefined,
): number | undefined {
  const engine = engines[name];
  if (engine.kind !== 'stock' || engine.parameters['multifd-compression'] === undefined) return undefined;
  return ratio(contentBytes, migrationBytes);
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Undefined spans are those that the run did not come to. */
interface Spans {
  readonly before: Span;
  readonly during: Span | undefined;
  readonly after: Span | undefined;
}

function spansOf({ manifest }: RunRecord, timeline: Timeline): Spans {
  const { commandMs } = timeline;
  const before = { fromMs: commandMs - loadWindowMs, toMs: commandMs };
  const endMs = endOf(timeline, manifest.configuration.verifyRam) ?? timeline.ended?.atMs;
  if (endMs === undefined) return { before, during: undefined, after: undefined };
  return {
    before,
    during: { fromMs: commandMs, toMs: endMs },
    after: { fromMs: endMs, toMs: endMs + loadWindowMs },
  };
}

function throughput(record: RunRecord, timeline: Timeline | undefined) {
  const { samples, manifest } = record;
  const series = (metric: string): Point[] => seriesOf(samples, 'client', metric);
  const tps = series('tps');
  if (timeline === undefined || tps.length === 0) return {};
  const { before, during, after } = spansOf(record, timeline);
  const mean = (points: readonly Point[], span: Span | undefined): number | undefined =>
    span && meanOfSeconds(points, span.fromMs, span.toMs);
  const queued = series('queued_transactions');
  const longest = (span: Span | undefined): number | undefined =>
    span && maxOfSeconds(queued, span.fromMs, span.toMs);
  const latencies = latenciesBySecond(samples);
  const latency = (percent: Percentile, span: Span | undefined): number | undefined =>
    span &&
    percentileMs(
      within(latencies, span.fromMs, span.toMs).flatMap((second) => second.latencies),
      percent,
    );

  const tps_before = mean(tps, before);
  const offered = series('offered_tps');
  const offered_tps_before = mean(offered, before);
  return {
    tps_before,
    tps_during: mean(tps, during),
    tps_after: mean(tps, after),
    ...(tps_before === undefined || tps_before === 0 || during === undefined
      ? {}
      : recoveryColumns(
          tpsRecovery({
            tps,
            beforeFromMs: before.fromMs,
            tpsBefore: tps_before,
            rateTps: manifest.configuration.rateTps,
            commandMs: during.fromMs,
            endMs: during.toMs,
          }),
        )),
    offered_tps_before,
    offered_tps_during: mean(offered, during),
    offered_tps_after: mean(offered, after),
    queued_max_before: longest(before),
    queued_max_during: longest(during),
    queued_max_after: longest(after),
    rate_reached:
      manifest.configuration.rateTps === 0 || tps_before === undefined || offered_tps_before === undefined
        ? undefined
        : tps_before >= reachedShare * offered_tps_before,
    latency_p50_before_ms: latency(50, before),
    latency_p50_during_ms: latency(50, during),
    latency_p50_after_ms: latency(50, after),
    latency_p95_before_ms: latency(95, before),
    latency_p95_during_ms: latency(95, during),
    latency_p95_after_ms: latency(95, after),
    latency_p99_before_ms: latency(99, before),
    latency_p99_during_ms: latency(99, during),
    latency_p99_after_ms: latency(99, after),
  };
}

function recoveryColumns(recovery: TpsRecovery) {
  return {
    tps_recovery_ms: recovery.kind === 'recovered' ? recovery.afterMs : undefined,
    tps_recovery_measurable: recovery.kind !== 'within-noise',
  };
}

/** The guest's clock against the client's, of the second that is least uncertain around the migration on either side. */
function guestClock({ samples }: RunRecord, timeline: Timeline | undefined) {
  const uncertainties = seriesOf(samples, 'client', 'guest_clock_uncertainty_ms');
  const seconds = seriesOf(samples, 'client', 'guest_clock_offset_ms').map(({ tMs, value }, index) => ({
    tMs,
    offsetMs: value,
    uncertaintyMs: uncertainties[index]?.value ?? Infinity,
  }));
  const surest = (fromMs: number, toMs: number): number | undefined =>
    seconds
      // All of the second: its answers may come from either VM otherwise.
      .filter(({ tMs }) => tMs - 1000 >= fromMs && tMs <= toMs)
      .sort((a, b) => a.uncertaintyMs - b.uncertaintyMs)[0]?.offsetMs;
  if (timeline === undefined) return {};
  const { commandMs, resumeMs } = timeline;
  const clock_offset_before_ms = surest(commandMs - clockWindowMs, commandMs);
  const clock_offset_after_ms =
    resumeMs === undefined ? undefined : surest(resumeMs, resumeMs + clockWindowMs);
  return {
    clock_offset_before_ms,
    clock_offset_after_ms,
    clock_jump_ms: difference(clock_offset_after_ms, clock_offset_before_ms),
  };
}

/** What went wrong with the load from its start to its end. Nothing is known of a run without load. */
function loadTrouble({ events, samples }: RunRecord) {
  const reports = seriesOf(samples, 'client', 'tps');
  if (reports.length === 0) return {};
  const allEnded = events.filter((event) => event.event === 'workload-ended');
  const goesOn = (afterMs: number): boolean => reports.some(({ tMs }) => tMs > afterMs);
  // sysbench's own counts, once it has ended. A report is of about one second, so that its rates are next to counts.
  const total = (figure: 'errors' | 'reconnects'): number => {
    const counts = allEnded.flatMap(({ figures }) => figures[figure] ?? []);
    const isWhole = counts.length === allEnded.length && !goesOn(allEnded.at(-1)?.at_ms ?? 0);
    const rates = seriesOf(samples, 'client', `${figure}_per_second`).map(({ value }) => Math.round(value));
    return (isWhole ? counts : rates).reduce((sum, value) => sum + value, 0);
  };
  const load_reconnects = total('reconnects');
  const load_restarts = allEnded.filter((ended) => goesOn(ended.at_ms)).length;
  return {
    load_errors: total('errors'),
    load_reconnects,
    load_restarts,
    load_interrupted: load_reconnects + load_restarts > 0,
  };
}

function checks(events: readonly RunEvent[]) {
  const named = (name: string) =>
    events.filter((event) => event.event === 'check').findLast((check) => check.name === name);
  const ledger = named(checkFigures.ledger)?.figures;
  const ram = named(checkFigures.ram)?.figures;
  return {
    ledger_acknowledged: ledger?.['acknowledged'],
    ledger_lost: ledger?.['lost'],
    tables_ok: named(checkFigures.tables)?.ok,
    ram_pages_compared: ram?.['pages_compared'],
    ram_pages_differing: ram?.['pages_differing'],
  };
}

type EngineFigure = Extract<RecordedField, keyof EngineCounters | `list_${string}_ms` | `fault${string}`>;

/** The last value that an engine on that host reported: each counter is kept by the engine that does the work. */
export function engineFigure(
  events: readonly RunEvent[],
  host: ClockName,
  field: EngineFigure,
): number | undefined {
  return events
    .filter((event) => event.event === 'engine')
    .findLast((event) => event.host === host && event.fields[field] !== undefined)?.fields[field];
}

/** The last time that the engine at the destination said that it needs nothing from the source any more. */
function sourceFreeMs(events: readonly RunEvent[]): number | undefined {
  return events.findLast(
    (event) => event.event === 'engine' && event.host === 'dst' && event.name === 'source-free',
  )?.at_ms;
}

function engineFigures(events: readonly RunEvent[]) {
  const last = (host: ClockName, field: EngineFigure): number | undefined =>
    engineFigure(events, host, field);
  return {
    pages_listed: last('src', 'pages_listed'),
    pages_left_out: last('src', 'pages_left_out'),
    pages_restored: last('dst', 'pages_restored'),
    pages_mismatched: last('dst', 'pages_mismatched'),
    pages_unreadable: last('dst', 'pages_unreadable'),
    pages_cancelled: last('dst', 'pages_cancelled'),
    pages_sent_after_all: last('src', 'pages_sent_after_all'),
    list_find_ms: last('src', 'list_find_ms'),
    list_translate_ms: last('src', 'list_translate_ms'),
    list_map_ms: last('src', 'list_map_ms'),
    list_encode_ms: last('src', 'list_encode_ms'),
    list_send_ms: last('src', 'list_send_ms'),
    list_clean_ms: last('src', 'list_clean_ms'),
    faults: last('dst', 'faults'),
    fault_p50_ms: last('dst', 'fault_p50_ms'),
    fault_p95_ms: last('dst', 'fault_p95_ms'),
    fault_p99_ms: last('dst', 'fault_p99_ms'),
    engine_cpu_ms_src: last('src', 'cpu_ms'),
    engine_cpu_ms_dst: last('dst', 'cpu_ms'),
  };
}

function difference(to: number | undefined, from: number | undefined): number | undefined {
  return to === undefined || from === undefined ? undefined : to - from;
}

function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a + b;
}

/** Undefined as well of nothing: no table has a place for what is infinite. */
function ratio(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

/** Time that so many bytes take at that rate, in ms. */
function transferMs(bytes: number | undefined, bytesPerSecond: number | undefined): number | undefined {
  return ratio(bytes === undefined ? undefined : 1000 * bytes, bytesPerSecond);
}

function round(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : Math.round(bytes);
}
