/** The columns that tables and claims of recipes may name: what each is of a run, and how it is written. Pure. */
import { median } from 'simple-statistics';
import { inMegabytes, inSeconds } from '../../foundation/quantity.ts';
import { timeLimitMs } from '../claims/not-converged.ts';
import type { Run } from '../record/read-set.ts';
import type { NumberColumn } from '../../record/run-columns.ts';
import { dirtyBytesPerSecondOf, dirtyShareOf } from '../record/dirty-rate.ts';
import { efficiencyOf, isTpsNotBack, tpsRecoveryMsOf } from '../record/run-row.ts';

export interface Column {
  /** With its unit. */
  readonly title: string;
  /** Undefined where it does not apply, or was not measured. */
  readonly value: (run: Run) => number | undefined;
  readonly text: (value: number) => string;
  /** What is said of the runs that have no value; empty where nothing is to be said. */
  readonly remark?: (runs: readonly Run[]) => string;
  /** It is of all runs of a cell, those that did not converge as well where others did. */
  readonly ofAll?: true;
  /** What it is at the least of a run that was cancelled, and so does not have it. */
  readonly leastOfCut?: (run: Run) => number;
  /** It is of runs that failed as well, also where they were made again: a claim that they refute does not hold. */
  readonly ofFailed?: true;
  /** It is made from samples, which are not read where nobody needs them. */
  readonly fromSamples?: true;
}

const digits = (count: number) => (value: number) => value.toFixed(count);

const ofRow = (title: string, column: NumberColumn, text: (value: number) => string = digits(0)): Column => ({
  title,
  value: ({ row }) => row[column],
  text,
});

/** Where no page was waited for, there is no wait. */
const wait = (title: string, column: NumberColumn, text: Column['text']): Column => ({
  title,
  value: ({ row }) => (row.faults === 0 ? undefined : row[column]),
  text,
});

const sum = (...values: readonly (number | undefined)[]): number | undefined =>
  values.some((value) => value === undefined)
    ? undefined
    : values.reduce<number>((total, value) => total + (value ?? 0), 0);

/** When a restart had come so far, since the command. */
const phase = (
  title: string,
  name: 'source-closed' | 'vm-stopped' | 'vm-started' | 'server-answers',
): Column => ({
  title,
  value: ({ events }) => events.find((event) => event.event === 'restart' && event.phase === name)?.tMs,
  text: (ms) => inSeconds(ms),
});

const beforeMs = 15_000;
const slowMs = 1000;

/** sysbench's 95th percentile in each second of a span. A second in which nothing ended has none, and reads as 0: left out. */
function latencies({ series }: Run, fromMs: number, toMs: number): number[] {
  // sysbench reports a second at its end; its middle decides where it belongs.
  return (series.get('client latency_p95_ms') ?? [])
    .filter(({ tMs, value }) => value > 0 && tMs - 500 >= fromMs && tMs - 500 < toMs)
    .map(({ value }) => value);
}

const latency = (
  title: string,
  of: (values: readonly number[]) => number,
  span: 'before' | 'during' = 'during',
): Column => ({
  title,
  value: (run) => {
    const values =
      span === 'before'
        ? latencies(run, -beforeMs, 0)
        : latencies(run, 0, run.row.total_time_ms ?? Number.POSITIVE_INFINITY);
    return values.length === 0 ? undefined : of(values);
  },
  text: digits(0),
  fromSamples: true,
});

/** Of a host's samples from the command to the end. */
const sampled = (
  title: string,
  series: string,
  of: (values: readonly number[]) => number,
  text: (value: number) => string,
): Column => ({
  title,
  value: ({ row, series: all }) => {
    const endMs = row.total_time_ms ?? Number.POSITIVE_INFINITY;
    const values = (all.get(series) ?? [])
      .filter(({ tMs }) => tMs >= 0 && tMs <= endMs)
      .map(({ value }) => value);
    return values.length === 0 ? undefined : of(values);
  },
  text,
  fromSamples: true,
});

const columns: Readonly<Record<string, Column>> = {
  total: { ...ofRow('total s', 'total_time_ms', (ms) => inSeconds(ms)), leastOfCut: timeLimitMs },
  'total-both': {
    title: 'both VMs s',
    // Both rows of a run have it: it counts once.
    value: ({ row }) => (row.vm === 0 ? row.vms_total_time_ms : undefined),
    text: (ms) => inSeconds(ms),
    leastOfCut: timeLimitMs,
  },
  'vm-migration-link': ofRow('migration link, a VM MB', 'vm_migration_link_bytes', (bytes) =>
    inMegabytes(bytes),
  ),
  'vm-storage-link': ofRow('storage link, a VM MB', 'vm_storage_link_bytes', (bytes) => inMegabytes(bytes)),
  'migration-share': ofRow('share of the migration link', 'migration_link_share', digits(2)),
  'storage-share': ofRow('share of the storage link', 'storage_link_share', digits(2)),
  moved: { ...ofRow('VM at the destination ms', 'vm_moved_ms'), leastOfCut: timeLimitMs },
  'source-needed': ofRow('source needed for ms', 'source_needed_ms'),
  faults: ofRow('pages waited for', 'faults'),
  'fault-p50': wait('wait for a page, median ms', 'fault_p50_ms', digits(2)),
  'fault-p99': wait('wait for a page, p99 ms', 'fault_p99_ms', digits(1)),
  downtime: ofRow('STOP to RESUME ms', 'downtime_stop_resume_ms'),
  'client-gap': ofRow('no ping reply ms', 'downtime_client_ms'),
  'sql-gap': ofRow('no SQL answer ms', 'downtime_heartbeat_ms'),
  'downtime-limit': ofRow('downtime limit at the end ms', 'downtime_limit_reached_ms'),
  converged: {
    title: 'converged',
    value: ({ row }) => (row.converged === undefined ? undefined : Number(row.converged)),
    text: (value) => (value === 1 ? 'yes' : value === 0 ? 'no' : 'in part'),
    ofAll: true,
  },
  'migration-rate': ofRow('migration link Mbit/s', 'link_bits_per_second', (rate) =>
    String(Number((rate / 1e6).toPrecision(3))),
  ),
  'dirty-rate': {
    title: 'dirtied MB/s',
    value: (run) => dirtyBytesPerSecondOf(run),
    text: (rate) => inMegabytes(rate, 2),
    fromSamples: true,
  },
  'dirty-share': {
    title: 'dirtied / migration link',
    value: (run) => dirtyShareOf(run),
    text: digits(2),
    fromSamples: true,
  },
  passes: ofRow('passes', 'dirty_sync_count'),
  blocked: ofRow('virtual CPUs blocked s', 'postcopy_blocktime_ms', (ms) => inSeconds(ms)),
  'migration-link': ofRow('migration link MB', 'migration_link_bytes', (bytes) => inMegabytes(bytes)),
  'storage-link': ofRow('storage link of dst MB', 'storage_link_bytes_dst', (bytes) => inMegabytes(bytes)),
  'both-links': {
    title: 'both links MB',
    value: ({ row }) => sum(row.migration_link_bytes, row.storage_link_bytes_dst),
    text: (bytes) => inMegabytes(bytes),
  },
  'memory-zero': ofRow('zero pages MB', 'memory_zero_bytes', (bytes) => inMegabytes(bytes)),
  'memory-pool': ofRow('pool in use MB', 'pool_in_use_bytes', (bytes) => inMegabytes(bytes)),
  'memory-page-cache': ofRow('page cache MB', 'memory_page_cache_bytes', (bytes) => inMegabytes(bytes)),
  'memory-other': ofRow('other MB', 'memory_other_bytes', (bytes) => inMegabytes(bytes)),
  compression: ofRow('compression ratio', 'compression_ratio_total', digits(2)),
  'busiest-link': ofRow('busiest link', 'busiest_link_efficiency', digits(2)),
  efficiency: {
    title: 'efficiency',
    value: ({ row }) => efficiencyOf(row),
    text: digits(2),
  },
  'engine-cpu-src': ofRow('engine CPU s, src', 'engine_cpu_ms_src', (ms) => inSeconds(ms)),
  'engine-cpu-dst': ofRow('engine CPU s, dst', 'engine_cpu_ms_dst', (ms) => inSeconds(ms)),
  'qemu-cpu-src': ofRow('QEMU CPU s, src', 'qemu_cpu_ms_src', (ms) => inSeconds(ms)),
  'qemu-cpu-dst': ofRow('QEMU CPU s, dst', 'qemu_cpu_ms_dst', (ms) => inSeconds(ms)),
  'all-cpu': {
    title: 'CPU s, QEMUs and engines',
    value: ({ row }) => {
      const qemu = sum(row.qemu_cpu_ms_src, row.qemu_cpu_ms_dst);
      const hasEngine = row.engine_cpu_ms_src !== undefined || row.engine_cpu_ms_dst !== undefined;
      return hasEngine ? sum(qemu, row.engine_cpu_ms_src, row.engine_cpu_ms_dst) : qemu;
    },
    text: (ms) => inSeconds(ms),
  },
  'cpu-busy': sampled('CPUs of src busy %', 'src cpu_percent', median, digits(0)),
  'engine-memory-src': sampled(
    'engine resident MB, src',
    'src engine_rss_bytes',
    (values) => Math.max(...values),
    (bytes) => inMegabytes(bytes),
  ),
  'engine-memory-dst': sampled(
    'engine resident MB, dst',
    'dst engine_rss_bytes',
    (values) => Math.max(...values),
    (bytes) => inMegabytes(bytes),
  ),
  'tps-before': ofRow('TPS before', 'tps_before', digits(1)),
  'tps-during': ofRow('TPS during', 'tps_during', digits(1)),
  'tps-after': ofRow('TPS after', 'tps_after', digits(1)),
  'tps-back': {
    title: 'TPS back s',
    value: ({ row }) => tpsRecoveryMsOf(row),
    text: (ms) => inSeconds(ms),
    remark: (runs) => {
      if (runs.some(({ row }) => row.tps_recovery_measurable === false)) return 'not measurable';
      const notBack = runs.filter(({ row }) => isTpsNotBack(row) === true).length;
      return notBack === 0 ? '' : `not back in ${notBack} of ${runs.length}`;
    },
  },
  'p95-before': latency('p95 before ms', median, 'before'),
  'p95-during': latency('p95 during ms', median),
  'p95-worst': latency('p95, worst second ms', (values) => Math.max(...values)),
  'slow-seconds': latency('seconds of p95 above 1 s', (values) => values.filter((ms) => ms > slowMs).length),
  list: {
    title: 'list s',
    value: ({ row }) =>
      sum(row.list_find_ms, row.list_translate_ms, row.list_map_ms, row.list_encode_ms, row.list_send_ms),
    text: (ms) => inSeconds(ms),
  },
  'vm-stopped': phase('VM stopped after s', 'vm-stopped'),
  'vm-started': phase('VM started after s', 'vm-started'),
  'server-answers': phase('server answers after s', 'server-answers'),
  'pool-shrunk': ofRow('pool small after s', 'pool_shrunk_ms', (ms) => inSeconds(ms)),
  'pool-loaded': ofRow('pool full again after s', 'pool_loaded_ms', (ms) => inSeconds(ms)),
  'source-closed': phase('source told to end after s', 'source-closed'),
  'both-servers': ofRow('two servers for s', 'servers_both_ms', (ms) => inSeconds(ms)),
  'service-link': ofRow('service link of src MB', 'service_link_bytes', (bytes) => inMegabytes(bytes)),
  'load-errors': ofRow('transactions aborted', 'load_errors'),
  'load-reconnects': ofRow('connections of the load lost', 'load_reconnects'),
  'commits-unknown': ofRow('commits without an answer', 'ledger_unknown'),
  commits: ofRow('commits acknowledged', 'ledger_acknowledged'),
  'commits-lost': { ...ofRow('commits lost', 'ledger_lost'), ofAll: true, ofFailed: true },
  'pages-compared': ofRow('compared', 'ram_pages_compared'),
  'pages-differing': { ...ofRow('differing', 'ram_pages_differing'), ofFailed: true },
  'pages-listed': ofRow('listed', 'pages_listed'),
  'pages-restored': ofRow('restored from storage', 'pages_restored'),
  'pages-mismatched': ofRow('refused: storage differs', 'pages_mismatched'),
};

/** @throws RangeError: a recipe names a column that there is none of */
export function columnOf(name: string): Column {
  const column = columns[name];
  if (column === undefined) throw new RangeError(`no column "${name}": ${Object.keys(columns).join(', ')}`);
  return column;
}

/** Median, with min and max where they read otherwise: "119.8 (119.7 to 120.1)". Empty without values. */
export function medianText({ text }: Pick<Column, 'text'>, values: readonly number[]): string {
  if (values.length === 0) return '';
  const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)].map(text);
  return low === high ? (middle ?? '') : `${middle ?? ''} (${low ?? ''} to ${high ?? ''})`;
}
