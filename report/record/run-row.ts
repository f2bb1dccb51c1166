/** A row of runs.csv as the report needs it: without these columns there is no place for it in any figure. */
import type { LinkRates } from '../../experiments/link-rates.ts';
import { parseRunsCsv } from '../../record/csv.ts';
import type { RunRow as RecordedRow } from '../../record/run-columns.ts';

const needed = [
  'run_id',
  'scenario',
  'engine',
  'paper_row_gib',
  'scale',
  'repeat',
  'link_bits_per_second',
  'storage_link_bits_per_second',
  'service_link_bits_per_second',
] as const satisfies readonly (keyof RecordedRow)[];

export type RunRow = RecordedRow & {
  readonly [Column in (typeof needed)[number]]-?: NonNullable<RecordedRow[Column]>;
};

function hasNeeded(row: RecordedRow): row is RunRow {
  return needed.every((column) => row[column] !== undefined);
}

/** Configured rates of the networks of a run. */
export function linkRatesOf(row: RunRow): LinkRates {
  return {
    migration: row.link_bits_per_second,
    storage: row.storage_link_bits_per_second,
    service: row.service_link_bits_per_second,
  };
}

/** @throws RangeError, CsvError */
export function parseRunRows(text: string): RunRow[] {
  return parseRunsCsv(text).map((row) => {
    if (!hasNeeded(row))
      throw new RangeError(`${needed.filter((column) => row[column] === undefined).join(', ')}: empty`);
    // What everything is divided by.
    if (row.total_time_ms !== undefined && row.total_time_ms <= 0)
      throw new RangeError(`total_time_ms: ${row.total_time_ms} is not above zero`);
    return row;
  });
}

/** Bound / total time; what was compressed, by whomever, is counted in the bound at the ratio of that run (docs/measurements.md). */
export function efficiencyOf(row: RunRow): number | undefined {
  return row.efficiency_compressed ?? row.efficiency;
}

/** What a migration took, of one that came to its end: what another had moved when it was cancelled is no such number. */
export function ofMigrated(row: RunRow, amount: number | undefined): number | undefined {
  return row.total_time_ms === undefined ? undefined : amount;
}

/** What crossed both links into the destination; undefined where one was not measured. */
export function bothLinksBytes(row: RunRow): number | undefined {
  const { migration_link_bytes: migration, storage_link_bytes_dst: storage } = row;
  return migration === undefined || storage === undefined ? undefined : migration + storage;
}

/** Undefined where it did not come back, and where it was not measurable at this load; older tables, which do not say so, have to be derived again. */
export function tpsRecoveryMsOf(row: RunRow): number | undefined {
  return row.tps_recovery_measurable === true ? row.tps_recovery_ms : undefined;
}

/** Whether throughput had not come back when the load ended; undefined where it was not measurable at this load. */
export function isTpsNotBack(row: RunRow): boolean | undefined {
  return row.tps_recovery_measurable === true ? row.tps_recovery_ms === undefined : undefined;
}
