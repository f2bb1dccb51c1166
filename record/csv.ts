/** The derived tables: runs.csv and samples.csv. */
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { parse as parseSync } from 'csv-parse/sync';
import { stringify, type Options } from 'csv-stringify';
import { stringify as stringifySync } from 'csv-stringify/sync';
import type { Sample } from './event.ts';
import { typeOf } from './definition.ts';
import { type RunColumn, runColumnNames, runColumns, type RunRow } from './run-columns.ts';
import { writeWhole } from './whole-file.ts';

export const sampleColumns = ['run_id', 't_ms', 'host', 'metric', 'value'] as const;

/** Numbers with at most three decimals: a microsecond of a ms, and far below the noise of every other unit. */
const cast: NonNullable<Options['cast']> = {
  boolean: (value) => String(value),
  number: (value) => String(Math.round(value * 1000) / 1000),
};

/** The table of one run or of many. */
export function runsCsv(rows: readonly RunRow[]): string {
  return stringifySync([...rows], { header: true, columns: [...runColumnNames], cast });
}

const kinds = {
  text: (text: string) => text,
  datetime: (text: string) => text,
  number: (text: string) => {
    const value = Number(text);
    if (!Number.isFinite(value)) throw new RangeError(`${JSON.stringify(text)} is not a number`);
    return value;
  },
  boolean: (text: string) => {
    if (text !== 'true' && text !== 'false')
      throw new RangeError(`${JSON.stringify(text)} is not true or false`);
    return text === 'true';
  },
} as const;

/**
 * Columns are found by name: one that is absent is empty, one that is not known here is left out.
 * @throws RangeError with the column's name, CsvError
 */
export function parseRunsCsv(text: string): RunRow[] {
  // Spreadsheets begin what they save with a byte order mark.
  const rows = parseSync<Readonly<Record<string, string>>>(text, {
    bom: true,
    columns: true,
    skip_empty_lines: true,
  });
  return rows.map((cells) => {
    const row: Partial<Record<RunColumn, string | number | boolean | undefined>> = {};
    for (const column of runColumnNames) {
      const cell = cells[column] ?? '';
      if (cell === '') continue;
      try {
        row[column] = kinds[typeOf(runColumns[column].unit)](cell);
      } catch (error) {
        throw new RangeError(`${column}: ${(error as Error).message}`, { cause: error });
      }
    }
    // Tables that are older than the columns.
    row.paper_row_gib ??= row.mem_gib;
    row.storage_link_bits_per_second ??= row.link_bits_per_second;
    row.service_link_bits_per_second ??= row.link_bits_per_second;
    return row as RunRow;
  });
}

/** @throws CodedError 'record' `not-writable` */
export async function writeRunsCsv(file: string, rows: readonly RunRow[]): Promise<void> {
  await writeWhole(file, (unfinished) => writeFile(unfinished, runsCsv(rows)));
}

interface SamplesTable {
  readonly runId: string;
  /** Time of the migrate command: `t_ms` is relative to it. */
  readonly zeroMs: number;
  readonly samples: readonly Sample[];
}

/** @throws CodedError 'record' `not-writable` */
export async function writeSamplesCsv(file: string, table: SamplesTable): Promise<void> {
  const { runId, zeroMs, samples } = table;
  const rows = function* (): Generator<readonly (string | number)[]> {
    for (const { at_ms, host, metric, value } of samples) yield [runId, at_ms - zeroMs, host, metric, value];
  };
  const text = stringify({ header: true, columns: [...sampleColumns], cast });
  await writeWhole(file, (unfinished) => pipeline(rows, text, createWriteStream(unfinished)));
}
