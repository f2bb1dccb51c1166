/** Every metric that samples may carry. `:<...>` stands for a name that the run gives: a network or a process. */
import type { Definition } from './definition.ts';

export const metrics = {
  ram_remaining_bytes: {
    unit: 'bytes',
    meaning: '`query-migrate` ram.remaining: guest memory that is still to be sent',
  },
  ram_transferred_bytes: { unit: 'bytes', meaning: 'ram.transferred: what QEMU has sent, before any engine' },
  ram_total_bytes: { unit: 'bytes', meaning: 'ram.total: all of the guest’s memory' },
  ram_zero_pages: { unit: 'pages', meaning: 'ram.duplicate: pages sent as zero pages' },
  ram_normal_pages: { unit: 'pages', meaning: 'ram.normal: pages sent whole' },
  dirty_pages_per_second: {
    unit: 'pages/s',
    meaning: 'ram.dirty-pages-rate: pages that the guest dirties, by the last bitmap sync',
  },
  dirty_sync_count: { unit: 'passes', meaning: 'ram.dirty-sync-count: dirty bitmap syncs so far' },
  migration_bits_per_second: { unit: 'bit/s', meaning: 'ram.mbps: QEMU’s own throughput' },
  migration_expected_downtime_ms: { unit: 'ms', meaning: 'expected-downtime: QEMU’s estimate' },
  migration_total_time_ms: { unit: 'ms', meaning: 'total-time: QEMU’s own time since the start' },
  'nic_in_bytes:<network>': {
    unit: 'bytes',
    meaning: 'received by the host on that network since boot (cumulative, with headers)',
  },
  'nic_out_bytes:<network>': {
    unit: 'bytes',
    meaning: 'sent by the host on that network since boot (cumulative, with headers)',
  },
  tps: { unit: '1/s', meaning: 'sysbench transactions that were completed in the second that ends at t_ms' },
  offered_tps: {
    unit: '1/s',
    meaning: 'with `--rate`: transactions that fell due in that second, whatever became of them',
  },
  queued_transactions: {
    unit: 'transactions',
    meaning: 'with `--rate`: transactions that are due and wait for a thread of sysbench',
  },
  qps: { unit: '1/s', meaning: 'sysbench queries in that second' },
  read_qps: { unit: '1/s', meaning: 'reading queries in that second' },
  write_qps: { unit: '1/s', meaning: 'writing queries in that second' },
  latency_p50_ms: {
    unit: 'ms',
    meaning:
      'half of the transactions that ended in that second took no longer; with `--rate` from when they fell due; 0 if none ended',
  },
  latency_p95_ms: { unit: 'ms', meaning: '95 % of them took no longer; 0 if none ended' },
  latency_p99_ms: { unit: 'ms', meaning: '99 % of them took no longer; 0 if none ended' },
  latency_ms: {
    unit: 'ms',
    meaning:
      'a latency, to 1.8 %, of transactions that ended in that second: one of several samples of that time, each with its latency_transactions',
  },
  latency_transactions: {
    unit: 'transactions',
    meaning:
      'how many transactions had the latency_ms that stands at the same place among those of that time',
  },
  errors_per_second: { unit: '1/s', meaning: 'errors that sysbench ignored in that second' },
  reconnects_per_second: { unit: '1/s', meaning: 'reconnects of sysbench in that second' },
  client_gap_ms: {
    unit: 'ms',
    meaning: 'no ping reply from t_ms on for so long (above 20 ms; a request every 5 ms)',
  },
  heartbeat_gap_ms: {
    unit: 'ms',
    meaning: 'no SQL answer from t_ms on for so long (above 40 ms; a query every 20 ms)',
  },
  ping_answers: { unit: 'replies', meaning: 'ping replies in the second that ends at t_ms' },
  heartbeat_answers: { unit: 'answers', meaning: 'SQL answers in the second that ends at t_ms' },
  guest_clock_offset_ms: {
    unit: 'ms',
    meaning: 'by how much the guest’s clock is ahead of the client’s, from the quickest of those answers',
  },
  guest_clock_uncertainty_ms: { unit: 'ms', meaning: 'bound of its error: half of that round trip' },
  ledger_acknowledged: {
    unit: 'commits',
    meaning: 'commits of the write ledger that the server acknowledged (cumulative)',
  },
  ledger_unknown: {
    unit: 'commits',
    meaning: 'commits of the write ledger whose connection failed before the answer (cumulative)',
  },
  cpu_percent: {
    unit: '%',
    meaning:
      'busy time of all cores since the sample before; of the whole machine where hosts are containers',
  },
  mem_available_bytes: { unit: 'bytes', meaning: 'MemAvailable of the host' },
  'process_cpu_ms:<process>': {
    unit: 'ms',
    meaning: 'CPU time of a process or unit since it started (cumulative)',
  },
  'process_rss_bytes:<process>': { unit: 'bytes', meaning: 'resident memory of a process or unit' },
  switchover_bytes_per_second: {
    unit: 'bytes/s',
    meaning: 'what QEMU was told of the link at switchover: its rate times the current compression ratio',
  },
  downtime_limit_ms: {
    unit: 'ms',
    meaning:
      'QEMU’s downtime-limit from then on: raised because the VM did not converge, or because its method raises it with time',
  },
  engine_pages_left_out: {
    unit: 'pages',
    meaning: 'records that the source engine has left out of QEMU’s stream (cumulative)',
  },
  engine_pages_restored: {
    unit: 'pages',
    meaning: 'pages that the destination engine has put back from storage (cumulative)',
  },
  engine_pages_pending: { unit: 'pages', meaning: 'listed pages that are yet to be restored or sent' },
  engine_pages_sent_after_all: {
    unit: 'pages',
    meaning: 'listed pages that the source engine has sent from guest memory (cumulative)',
  },
  engine_migration_link_bytes: {
    unit: 'bytes',
    meaning: 'on the connection between the engines, towards dst (cumulative)',
  },
  engine_storage_link_bytes: {
    unit: 'bytes',
    meaning: 'content that the destination engine has read from storage (cumulative)',
  },
  engine_restore_rate_bytes_per_second: {
    unit: 'bytes/s',
    meaning: 'rate at which pages are restored, as the engine estimates it',
  },
  engine_compression_ratio: {
    unit: 'ratio',
    meaning: 'bytes before compression over bytes sent, of recent frames',
  },
  engine_cpu_ms: { unit: 'ms', meaning: 'CPU time of the engine on that host since it started (cumulative)' },
  engine_rss_bytes: { unit: 'bytes', meaning: 'resident memory of the engine on that host' },
} as const satisfies Readonly<Record<string, Definition>>;

/** Whether the table above has this metric. */
export function isKnownMetric(name: string): boolean {
  const [base = '', detail] = name.split(':');
  if (detail === undefined) return Object.hasOwn(metrics, name);
  return detail !== '' && Object.keys(metrics).some((known) => known.startsWith(`${base}:<`));
}
