/** A row of runs.csv as it is read. Columns: results/README.md. They are found by name; one that is absent is empty. */
import { parse } from 'csv-parse/sync';
import { z } from 'zod';

const number = z
  .string()
  .default('')
  .transform((text, context) => {
    if (text === '') return undefined;
    const value = Number(text);
    if (Number.isFinite(value)) return value;
    context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not a number` });
    return z.NEVER;
  });
const requiredNumber = number.pipe(z.number());
const flag = z
  .enum(['true', 'false', ''])
  .default('')
  .transform((text) => (text === '' ? undefined : text === 'true'));

export const runRowSchema = z.object({
  run_id: z.string().min(1),
  started_at: z.string().default(''),
  /** Empty while a run goes on. */
  outcome: z.enum(['completed', 'not-converged', 'failed', 'aborted', '']).default(''),
  testbed: z.string().default(''),
  accelerator: z.string().default(''),
  dbms: z.string().default(''),
  scenario: z.string().min(1),
  engine: z.string().min(1),
  mem_gib: requiredNumber,
  scale: requiredNumber,
  repeat: requiredNumber,
  link_bits_per_second: requiredNumber,
  vm_memory_bytes: number,
  buffer_pool_bytes: number,
  pool_in_use_bytes: number,
  threads: number,
  rate_tps: number,
  downtime_limit_ms: number,
  total_time_ms: number,
  downtime_stop_resume_ms: number,
  downtime_client_ms: number,
  downtime_heartbeat_ms: number,
  downtime_qemu_ms: number,
  downtime_limit_reached_ms: number,
  dirty_sync_count: number,
  postcopy_blocktime_ms: number,
  migration_link_bytes: number,
  storage_link_bytes_dst: number,
  tps_before: number,
  tps_during: number,
  tps_after: number,
  tps_recovery_ms: number,
  converged: flag,
  ledger_acknowledged: number,
  ledger_lost: number,
  ram_pages_compared: number,
  ram_pages_differing: number,
  content_bytes: number,
  bound_ms: number,
  efficiency: number,
  efficiency_compressed: number,
  compression_ratio_total: number,
  busiest_link_efficiency: number,
  pages_listed: number,
  pages_left_out: number,
  pages_restored: number,
  pages_mismatched: number,
  pages_unreadable: number,
  pages_cancelled: number,
  pages_sent_after_all: number,
  list_find_ms: number,
  list_translate_ms: number,
  list_map_ms: number,
  list_encode_ms: number,
  list_send_ms: number,
  list_clean_ms: number,
  engine_cpu_ms_src: number,
  engine_cpu_ms_dst: number,
  qemu_cpu_ms_src: number,
  qemu_cpu_ms_dst: number,
});

export type RunRow = z.output<typeof runRowSchema>;

/** Bound / total time; what an engine compressed is counted in the bound, at the ratio of that run (docs/measurements.md). */
export function efficiencyOf(row: RunRow): number | undefined {
  return row.efficiency_compressed ?? row.efficiency;
}

/** Columns that hold a number, or nothing. */
export type NumberColumn = {
  [Column in keyof RunRow]: number extends RunRow[Column] ? Column : never;
}[keyof RunRow];

/** @throws ZodError, CsvError */
export function parseRunsCsv(text: string): RunRow[] {
  return z.array(runRowSchema).parse(parse(text, { columns: true, skip_empty_lines: true }));
}
