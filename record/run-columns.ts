/** The columns of runs.csv, in order. A column is only ever added: figures and comparisons read them by name. */
import type { Definition, ValueOf } from './definition.ts';

export const runColumns = {
  run_id: { unit: 'text', meaning: 'name of the result folder' },
  started_at: { unit: 'ISO 8601', meaning: 'start of the run, UTC' },
  outcome: { unit: 'text', meaning: 'completed, not-converged, failed or aborted' },
  testbed: { unit: 'text', meaning: 'where the hosts are' },
  accelerator: { unit: 'text', meaning: 'tcg or kvm' },
  dbms: { unit: 'text', meaning: 'database server' },
  scenario: { unit: 'text', meaning: 'idle, ro, rw or tpcc' },
  mem_gib: { unit: 'GiB', meaning: 'paper_row_gib, by the name that older tables have' },
  scale: { unit: 'ratio', meaning: 'memory and link rates are the paper’s divided by this' },
  vm_memory_bytes: { unit: 'bytes', meaning: 'memory of the VM' },
  buffer_pool_bytes: { unit: 'bytes', meaning: 'size of the buffer pool' },
  pool_in_use_bytes: { unit: 'bytes', meaning: 'data in the pool after the warm-up' },
  link_bits_per_second: { unit: 'bit/s', meaning: 'configured rate of the migration network' },
  threads: { unit: 'threads', meaning: 'sysbench threads' },
  rate_tps: { unit: '1/s', meaning: 'transaction rate that sysbench aims at; 0 is full speed' },
  downtime_limit_ms: { unit: 'ms', meaning: 'QEMU’s downtime-limit' },
  engine: { unit: 'text', meaning: 'how the VM was migrated' },
  repeat: { unit: 'number', meaning: 'which repeat of its cell' },
  seed: { unit: 'number', meaning: 'sysbench’s random seed' },
  shard: { unit: 'text', meaning: 'part of the matrix, as 2/5' },
  pair: { unit: 'text', meaning: 'name of the hosts, as `--pair` gave it' },
  total_time_ms: {
    unit: 'ms',
    meaning: 'migrate command to the later of `completed` at the source and RESUME at the target',
  },
  downtime_stop_resume_ms: {
    unit: 'ms',
    meaning: 'STOP at the source to RESUME at the target, clocks corrected',
  },
  downtime_client_ms: {
    unit: 'ms',
    meaning: 'longest gap between ping replies that overlaps STOP to RESUME',
  },
  downtime_heartbeat_ms: {
    unit: 'ms',
    meaning: 'longest gap between SQL answers that overlaps STOP to RESUME',
  },
  downtime_qemu_ms: { unit: 'ms', meaning: '`downtime` of query-migrate at the source' },
  downtime_limit_reached_ms: {
    unit: 'ms',
    meaning: 'QEMU’s downtime-limit at the end: our engines raise it where a VM does not converge',
  },
  dirty_sync_count: { unit: 'passes', meaning: 'dirty bitmap syncs' },
  migration_link_bytes: { unit: 'bytes', meaning: 'sent by src on the migration network, headers included' },
  storage_link_bytes_src: { unit: 'bytes', meaning: 'received and sent by src on the storage network' },
  storage_link_bytes_dst: { unit: 'bytes', meaning: 'received and sent by dst on the storage network' },
  qemu_transferred_bytes: { unit: 'bytes', meaning: 'ram.transferred at the end: before any engine' },
  tps_before: { unit: '1/s', meaning: 'mean TPS of the last 30 s before the migrate command' },
  tps_during: { unit: '1/s', meaning: 'mean TPS from the command to the end of the migration' },
  tps_after: { unit: '1/s', meaning: 'mean TPS of the 30 s after that' },
  tps_recovery_ms: {
    unit: 'ms',
    meaning:
      'migrate command until throughput is back for good; 0 if it never fell; empty if it did not come back, or is not measurable',
  },
  converged: { unit: 'true/false', meaning: 'false: cancelled because it did not end in time' },
  ledger_acknowledged: { unit: 'commits', meaning: 'acknowledged to the client' },
  ledger_lost: { unit: 'commits', meaning: 'acknowledged, but not in the database afterwards' },
  tables_ok: { unit: 'true/false', meaning: 'CHECK TABLE found every table in order' },
  content_bytes: { unit: 'bytes', meaning: 'guest memory without its zero pages' },
  bound_ms: {
    unit: 'ms',
    meaning: 'content_bytes at the measured rates of migration and storage link together',
  },
  efficiency: { unit: 'ratio', meaning: 'bound_ms / total_time_ms' },
  compression_ratio_total: {
    unit: 'ratio',
    meaning:
      'bytes before compression over bytes sent by the source engine; of multifd with compression, content_bytes over migration_link_bytes; else empty',
  },
  bound_compressed_ms: {
    unit: 'ms',
    meaning: 'bound_ms with the migration link’s rate multiplied by compression_ratio_total',
  },
  efficiency_compressed: { unit: 'ratio', meaning: 'bound_compressed_ms / total_time_ms' },
  busiest_link_ms: {
    unit: 'ms',
    meaning: 'time that the busier link into dst needs, at its measured rate, for the bytes it carried',
  },
  busiest_link_efficiency: { unit: 'ratio', meaning: 'busiest_link_ms / total_time_ms' },
  ram_pages_compared: { unit: 'pages', meaning: '`--verify-ram`: pages compared' },
  ram_pages_differing: {
    unit: 'pages',
    meaning: '`--verify-ram`: pages that differ between source and target',
  },
  pages_listed: { unit: 'pages', meaning: '4 KiB pages that the guest listed as restorable' },
  pages_left_out: { unit: 'pages', meaning: 'not sent, marked to be restored' },
  pages_restored: { unit: 'pages', meaning: 'put back from storage' },
  pages_mismatched: { unit: 'pages', meaning: 'storage held something else' },
  pages_unreadable: { unit: 'pages', meaning: 'storage could not be read' },
  pages_cancelled: { unit: 'pages', meaning: 'overtaken by a newer record of the same page' },
  pages_sent_after_all: {
    unit: 'pages',
    meaning:
      'listed pages that the source engine sent from guest memory: storage did not give them, or it was the link’s share',
  },
  list_find_ms: { unit: 'ms', meaning: 'guest agent: find clean cached pages' },
  list_translate_ms: { unit: 'ms', meaning: 'guest agent: virtual addresses to page frames' },
  list_map_ms: { unit: 'ms', meaning: 'guest agent: tablespace pages to disk blocks' },
  list_encode_ms: { unit: 'ms', meaning: 'guest agent: encode the list' },
  list_send_ms: { unit: 'ms', meaning: 'the list on its way to the source engine' },
  list_clean_ms: { unit: 'ms', meaning: 'guest agent: writing dirty pages first, if asked to' },
  engine_cpu_ms_src: { unit: 'ms', meaning: 'CPU time of the source engine' },
  engine_cpu_ms_dst: { unit: 'ms', meaning: 'CPU time of the destination engine' },
  qemu_cpu_ms_src: {
    unit: 'ms',
    meaning: 'CPU time of the source QEMU during the migration, guest included',
  },
  qemu_cpu_ms_dst: { unit: 'ms', meaning: 'CPU time of the target QEMU during the migration' },
  postcopy_blocktime_ms: {
    unit: 'ms',
    meaning: 'post-copy: time in which every virtual CPU waited for a page, as the target QEMU counts it',
  },
  pool_shrunk_ms: {
    unit: 'ms',
    meaning:
      '`shrink`: command until the pool is small and the balloon has what that freed; part of total_time_ms',
  },
  pool_loaded_ms: {
    unit: 'ms',
    meaning: 'command until the server has read again what its pool held, where it had to',
  },
  servers_both_ms: {
    unit: 'ms',
    meaning:
      '`replica`: time in which both servers ran, from the copy’s first answer until the source had ended',
  },
  service_link_bytes: {
    unit: 'bytes',
    meaning:
      'sent by src on the service network, headers included: answers to clients, and the data of a `replica`',
  },
  ledger_unknown: {
    unit: 'commits',
    meaning: 'commits of the write ledger whose connection failed before the answer',
  },
  revision: { unit: 'text', meaning: 'git commit of the checkout that ran; empty without git' },
  dirty: { unit: 'true/false', meaning: 'whether files differed from that commit' },
  paper_row_gib: { unit: 'GiB', meaning: 'the paper’s memory row, which `--mem` names' },
  cpu_percent_src: {
    unit: '%',
    meaning:
      'busy time of all cores of src during the migration; of the whole machine where hosts are containers',
  },
  cpu_percent_dst: { unit: '%', meaning: 'the same of dst' },
  cpu_model: { unit: 'text', meaning: 'processor of the VM hosts' },
  cpu_cores: { unit: 'cores', meaning: 'what it has of them' },
  offered_tps_before: {
    unit: '1/s',
    meaning: 'with `--rate`: transactions that fell due, mean of the last 30 s before the migrate command',
  },
  offered_tps_during: {
    unit: '1/s',
    meaning: 'with `--rate`: transactions that fell due, mean from the command to the end of the migration',
  },
  offered_tps_after: {
    unit: '1/s',
    meaning: 'with `--rate`: transactions that fell due, mean of the 30 s after that',
  },
  queued_max_before: {
    unit: 'transactions',
    meaning:
      'with `--rate`: most that waited for a thread of sysbench at the end of a second of the last 30 s before the migrate command',
  },
  queued_max_during: {
    unit: 'transactions',
    meaning:
      'with `--rate`: most that waited for a thread of sysbench at the end of a second from the command to the end of the migration',
  },
  queued_max_after: {
    unit: 'transactions',
    meaning:
      'with `--rate`: most that waited for a thread of sysbench at the end of a second of the 30 s after that',
  },
  rate_reached: {
    unit: 'true/false',
    meaning:
      'false: less than 95 % of what fell due before the migration was completed there, so that the rate is not the load’s',
  },
  latency_p50_before_ms: {
    unit: 'ms',
    meaning:
      '50 % of the transactions of the last 30 s before the migrate command took no longer; with `--rate` from when they fell due',
  },
  latency_p50_during_ms: {
    unit: 'ms',
    meaning:
      '50 % of the transactions from the command to the end of the migration took no longer; with `--rate` from when they fell due',
  },
  latency_p50_after_ms: {
    unit: 'ms',
    meaning:
      '50 % of the transactions of the 30 s after that took no longer; with `--rate` from when they fell due',
  },
  latency_p95_before_ms: {
    unit: 'ms',
    meaning:
      '95 % of the transactions of the last 30 s before the migrate command took no longer; with `--rate` from when they fell due',
  },
  latency_p95_during_ms: {
    unit: 'ms',
    meaning:
      '95 % of the transactions from the command to the end of the migration took no longer; with `--rate` from when they fell due',
  },
  latency_p95_after_ms: {
    unit: 'ms',
    meaning:
      '95 % of the transactions of the 30 s after that took no longer; with `--rate` from when they fell due',
  },
  latency_p99_before_ms: {
    unit: 'ms',
    meaning:
      '99 % of the transactions of the last 30 s before the migrate command took no longer; with `--rate` from when they fell due',
  },
  latency_p99_during_ms: {
    unit: 'ms',
    meaning:
      '99 % of the transactions from the command to the end of the migration took no longer; with `--rate` from when they fell due',
  },
  latency_p99_after_ms: {
    unit: 'ms',
    meaning:
      '99 % of the transactions of the 30 s after that took no longer; with `--rate` from when they fell due',
  },
  clock_offset_before_ms: {
    unit: 'ms',
    meaning: 'guest’s clock minus the client’s, in the last 10 s before the migrate command',
  },
  clock_offset_after_ms: {
    unit: 'ms',
    meaning: 'the same in the first 10 s in which the VM ran at the destination',
  },
  clock_jump_ms: {
    unit: 'ms',
    meaning: 'clock_offset_after_ms - clock_offset_before_ms: negative if the guest lost time',
  },
  load_errors: {
    unit: 'errors',
    meaning: 'SQL errors of the load, such as deadlocks, after which its transaction was tried again',
  },
  load_reconnects: { unit: 'connections', meaning: 'connections of the load that were lost and made again' },
  load_restarts: {
    unit: 'number',
    meaning:
      'times that sysbench ended and was started again: its queue was full, or a restart took its server',
  },
  load_interrupted: {
    unit: 'true/false',
    meaning: 'whether the load lost a connection or was started again',
  },
  tps_recovery_measurable: {
    unit: 'true/false',
    meaning:
      'false: a fall of 10 % is within the noise of throughput at this load, and no greater one was seen',
  },
  storage_link_bits_per_second: {
    unit: 'bit/s',
    meaning: 'configured rate of the storage network; link_bits_per_second in older tables',
  },
  service_link_bits_per_second: { unit: 'bit/s', meaning: 'the same of the service network' },
  vms: { unit: 'VMs', meaning: 'VMs of the run that were moved at once; empty for one' },
  vm: { unit: 'number', meaning: 'which of them the row is of, from 0' },
  vms_total_time_ms: {
    unit: 'ms',
    meaning: 'first migrate command of the run to the end of the last of its VMs’ migrations',
  },
  vm_migration_link_bytes: {
    unit: 'bytes',
    meaning:
      'with several VMs: sent for this one on the migration network, without headers; migration_link_bytes is of all',
  },
  vm_storage_link_bytes: {
    unit: 'bytes',
    meaning: 'with several VMs: read from storage by this one’s destination engine',
  },
  migration_link_share: {
    unit: 'ratio',
    meaning: 'this VM’s share of what was sent for the VMs of the run while all of them migrated',
  },
  storage_link_share: {
    unit: 'ratio',
    meaning: 'this VM’s share of what was read from storage for them in that time',
  },
  guest: {
    unit: 'text',
    meaning: 'fresh, or aged: page cache full and next to no page zero before the load',
  },
  memory_zero_bytes: {
    unit: 'bytes',
    meaning: 'memory of the source VM in pages of nothing but zeros, before the load',
  },
  memory_page_cache_bytes: {
    unit: 'bytes',
    meaning: 'memory in the guest’s page cache then, tmpfs excepted: it is on storage, too',
  },
  memory_other_bytes: {
    unit: 'bytes',
    meaning:
      'memory that is neither of these nor pool_in_use_bytes: programs, kernel, and what was freed with its content',
  },
  vm_moved_ms: {
    unit: 'ms',
    meaning: 'migrate command to RESUME at the target: from then on the VM runs at the destination',
  },
  source_needed_ms: {
    unit: 'ms',
    meaning:
      'migrate command to when all that the VM still missed lay on storage: from then on nothing is lost with the source; engine resume',
  },
  before_switch_percent: {
    unit: '%',
    meaning: 'of the listed pages, what was to be at the destination before the VM moved; engine resume',
  },
  faults: { unit: 'pages', meaning: 'pages that the VM waited for after it had moved; engine resume' },
  fault_p50_ms: {
    unit: 'ms',
    meaning: 'median time from such a request to when the target’s QEMU was given the page',
  },
  fault_p95_ms: { unit: 'ms', meaning: '95th percentile of that time' },
  fault_p99_ms: { unit: 'ms', meaning: '99th percentile of that time' },
} as const satisfies Readonly<Record<string, Definition>>;

export type RunColumn = keyof typeof runColumns;
export const runColumnNames = Object.keys(runColumns) as readonly RunColumn[];

/** Undefined is an empty cell: it does not apply, or was not measured. */
export type RunRow = {
  readonly [Column in RunColumn]?: ValueOf<(typeof runColumns)[Column]['unit']> | undefined;
};

/** Columns that hold a number, or nothing. */
export type NumberColumn = {
  [Column in RunColumn]: ValueOf<(typeof runColumns)[Column]['unit']> extends number ? Column : never;
}[RunColumn];
