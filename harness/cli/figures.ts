/** The figures of runs as a table for the terminal. Pure. */
import {
  megabytes as asMegabytes,
  milliseconds as asMilliseconds,
  seconds as asSeconds,
} from '../../foundation/quantity.ts';
import type { RunRow } from '../../record/run-columns.ts';

interface Figure {
  readonly title: string;
  readonly value: (row: RunRow) => string;
}

/** What a column may hold. */
type Value = RunRow[keyof RunRow];

const shown = (format: (value: number) => string) => (value: Value) =>
  typeof value === 'number' ? format(value) : '-';
const number = shown((value) => value.toFixed(0));
const oneDecimal = shown((value) => value.toFixed(1));
const twoDecimals = shown((value) => value.toFixed(2));
const seconds = shown((ms) => asSeconds(ms));
const milliseconds = shown((ms) => asMilliseconds(ms));
const megabytes = shown((bytes) => asMegabytes(bytes));

const figures: readonly Figure[] = [
  { title: 'total migration time', value: (row) => seconds(row.total_time_ms) },
  { title: 'downtime, STOP to RESUME', value: (row) => milliseconds(row.downtime_stop_resume_ms) },
  { title: 'downtime, client (ping)', value: (row) => milliseconds(row.downtime_client_ms) },
  { title: "downtime, QEMU's figure", value: (row) => milliseconds(row.downtime_qemu_ms) },
  { title: 'migration link', value: (row) => megabytes(row.migration_link_bytes) },
  { title: 'storage link, src', value: (row) => megabytes(row.storage_link_bytes_src) },
  { title: 'storage link, dst', value: (row) => megabytes(row.storage_link_bytes_dst) },
  { title: 'passes (dirty syncs)', value: (row) => number(row.dirty_sync_count) },
  {
    title: 'TPS before / during / after',
    value: (row) =>
      `${oneDecimal(row.tps_before)} / ${oneDecimal(row.tps_during)} / ${oneDecimal(row.tps_after)}`,
  },
  {
    title: 'time until TPS is back at 90 %',
    value: (row) =>
      row.tps_recovery_measurable === false ? 'not measurable at this load' : seconds(row.tps_recovery_ms),
  },
  {
    title: 'bound, efficiency',
    value: (row) =>
      row.efficiency_compressed === undefined
        ? `${seconds(row.bound_ms)}, ${twoDecimals(row.efficiency)}`
        : `${seconds(row.bound_compressed_ms)}, ${twoDecimals(row.efficiency_compressed)}`,
  },
  { title: 'pages listed', value: (row) => number(row.pages_listed) },
  { title: 'pages restored', value: (row) => number(row.pages_restored) },
  { title: 'pages mismatched', value: (row) => number(row.pages_mismatched) },
  {
    title: 'CPU time of the engine, src / dst',
    value: (row) => `${seconds(row.engine_cpu_ms_src)} / ${seconds(row.engine_cpu_ms_dst)}`,
  },
  {
    title: 'commits acknowledged, lost',
    value: (row) => `${number(row.ledger_acknowledged)}, ${number(row.ledger_lost)}`,
  },
  {
    title: 'tables sound',
    value: (row) => (row.tables_ok === undefined ? '-' : row.tables_ok ? 'yes' : 'NO'),
  },
  {
    title: 'RAM pages compared, differing',
    value: (row) => `${number(row.ram_pages_compared)}, ${number(row.ram_pages_differing)}`,
  },
  { title: 'converged', value: (row) => (row.converged === undefined ? '-' : row.converged ? 'yes' : 'no') },
];

/** One run as lines of "title  value"; figures that the run does not have are left out. */
export function runTable(row: RunRow): string {
  const lines = figures
    .map(({ title, value }) => ({ title, text: value(row) }))
    .filter(({ text }) => /[^-,/ ]/.test(text));
  const width = Math.max(...lines.map(({ title }) => title.length));
  return lines.map(({ title, text }) => `  ${title.padEnd(width)}  ${text}`).join('\n');
}

export interface TableLine {
  readonly name: string;
  readonly outcome: string;
  /** Why it is not `completed`. */
  readonly reason?: string | undefined;
  readonly row: RunRow | undefined;
}

/** Whether a run failed, or was never reached. One that was skipped, or did not converge, is a result. */
export function matrixFailed(lines: readonly Pick<TableLine, 'outcome'>[], cells: number): boolean {
  return lines.length < cells || lines.some(({ outcome }) => outcome === 'failed');
}

const columns: readonly { readonly title: string; readonly value: (line: TableLine) => string }[] = [
  { title: 'run', value: ({ name }) => name },
  { title: 'outcome', value: ({ outcome }) => outcome },
  { title: 'total', value: ({ row }) => seconds(row?.total_time_ms) },
  { title: 'downtime', value: ({ row }) => milliseconds(row?.downtime_stop_resume_ms) },
  { title: 'client', value: ({ row }) => milliseconds(row?.downtime_client_ms) },
  { title: 'migration link', value: ({ row }) => megabytes(row?.migration_link_bytes) },
  { title: 'storage link dst', value: ({ row }) => megabytes(row?.storage_link_bytes_dst) },
  { title: 'engine CPU src', value: ({ row }) => seconds(row?.engine_cpu_ms_src) },
  { title: 'dst', value: ({ row }) => seconds(row?.engine_cpu_ms_dst) },
  { title: 'TPS before', value: ({ row }) => oneDecimal(row?.tps_before) },
  { title: 'during', value: ({ row }) => oneDecimal(row?.tps_during) },
  { title: 'lost', value: ({ row }) => number(row?.ledger_lost) },
];

/** A run that was skipped has its reason in the place of its figures. */
const cellsOf = (line: TableLine): readonly string[] =>
  line.outcome === 'skipped'
    ? [line.name, line.outcome, line.reason ?? '']
    : columns.map(({ value }) => value(line));

/** Many runs as a table, a run a line. */
export function matrixTable(lines: readonly TableLine[]): string {
  const cells = [columns.map(({ title }) => title), ...lines.map(cellsOf)];
  // A reason may be longer than any figure.
  const figured = cells.map((row) => (row.length < columns.length ? row.slice(0, 2) : row));
  const widths = columns.map((_, index) => Math.max(...figured.map((row) => row[index]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((text, index) =>
          index < 2 ? text.padEnd(widths[index] ?? 0) : text.padStart(widths[index] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}
