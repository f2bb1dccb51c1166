/** A recorded run (results/README.md) as a setup to simulate, and what was measured. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { timelineOf } from '../../record/derive/timeline.ts';
import { readRowText, readRun as readRecord, runFiles } from '../../record/read-run.ts';
import { seriesOf } from '../../record/series.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { constantRate } from './link.ts';
import { defaultSetup, type Setup } from './migration.ts';
import { type SimulatedEngine, simulatedEngines } from './simulate.ts';

export interface MeasuredRun {
  readonly runId: string;
  readonly engine: SimulatedEngine;
  readonly totalTimeMs: number;
  /** Undefined where they were not measured. */
  readonly migrationLinkBytes: number | undefined;
  readonly storageLinkBytes: number | undefined;
  readonly setup: Setup;
}

const manifestSchema = z.object({
  goodputBytesPerSecond: z.object({ migration: z.number().positive(), storage: z.number().positive() }),
});
const csvOptions = { columns: true, skip_empty_lines: true } as const;
const runRowSchema = z.looseObject({ run_id: z.string(), engine: z.string(), converged: z.string() });
const wantedMetrics: readonly string[] = ['dirty_pages_per_second', 'engine_compression_ratio'];
const listColumns = [
  'list_find_ms',
  'list_translate_ms',
  'list_map_ms',
  'list_encode_ms',
  'list_send_ms',
  'list_clean_ms',
] as const;

/**
 * Links, memory, content, list and the rate at which pages got dirty are taken from the run; the rest is assumed as ever.
 *
 * @throws CodedError 'prediction', 'unusable-run' if it is not complete, or of an engine that is not simulated
 */
export async function readMeasuredRun(folder: string): Promise<MeasuredRun> {
  try {
    return await readRun(folder);
  } catch (cause) {
    if (isCoded(cause, 'prediction')) throw cause;
    throw new CodedError('prediction', 'unusable-run', `${folder}: ${whatIsWrong(cause)}`, { cause });
  }
}

async function readRun(folder: string): Promise<MeasuredRun> {
  // One after the other: the first that is missing is named, and it is the same one each time.
  const manifestText = await readFile(path.join(folder, runFiles.manifest), 'utf8');
  const { goodputBytesPerSecond } = parseManifest(manifestText);
  const runsText = await readRowText(folder);
  if (runsText === undefined) throw new RangeError(`there is no row of it in ${runFiles.row}`);
  const [row] = z.tuple([runRowSchema]).parse(parse(runsText, csvOptions));
  const value = (column: string): number => Number(row[column] ?? '');
  const engine = simulatedEngines.find((name) => name === row.engine);
  const totalTimeMs = value('total_time_ms');
  if (engine === undefined || row.converged !== 'true' || !(totalTimeMs > 0)) {
    throw new CodedError(
      'prediction',
      'unusable-run',
      `${folder}: a ${row.engine} run that is not simulated, or did not converge`,
    );
  }
  if (value('vms') > 1)
    throw new CodedError(
      'prediction',
      'unusable-run',
      `${folder}: one of ${value('vms')} VMs that moved at once, and a simulated one has the links to itself`,
    );
  const { events, samples } = await readRecord(folder, (metric) => wantedMetrics.includes(metric));
  const commandMs = timelineOf(events)?.commandMs;
  if (commandMs === undefined)
    throw new CodedError('prediction', 'unusable-run', `${folder}: no migration was commanded`);
  const during = (wanted: string): number[] =>
    seriesOf(samples, 'src', wanted)
      .filter(
        ({ tMs, value: measured }) => tMs >= commandMs && tMs <= commandMs + totalTimeMs && measured > 0,
      )
      .map((point) => point.value);
  const needed = (column: string): number => {
    const measured = value(column);
    if (!(measured > 0)) throw new RangeError(`${column} was not measured`);
    return measured;
  };
  const bytes = (column: string): number | undefined =>
    (row[column] ?? '') === '' ? undefined : value(column);
  const memoryBytes = needed('vm_memory_bytes');
  const contentBytes = needed('content_bytes');
  const listed = (value('pages_listed') * pageSizeBytes) / contentBytes;
  return {
    runId: row.run_id,
    engine,
    totalTimeMs,
    migrationLinkBytes: bytes('migration_link_bytes'),
    storageLinkBytes: bytes('storage_link_bytes_dst'),
    setup: {
      ...defaultSetup,
      guest: {
        ...defaultSetup.guest,
        memoryBytes,
        zeroShare: Math.max(0, 1 - contentBytes / memoryBytes),
        listedShare: Math.min(1, listed),
        dirtyBytesPerSecond: (median(during('dirty_pages_per_second')) ?? 0) * pageSizeBytes,
      },
      migrationRate: constantRate(goodputBytesPerSecond.migration),
      storageRate: constantRate(goodputBytesPerSecond.storage),
      // Of all that was sent; older runs have only samples of the moment.
      compressionRatio:
        (value('compression_ratio_total') || median(during('engine_compression_ratio'))) ??
        defaultSetup.compressionRatio,
      listLatencyMs: listColumns.reduce((sum, column) => sum + value(column), 0),
      downtimeLimitMs: needed('downtime_limit_ms'),
      ...(engine === 'resume' ? { shareBeforeSwitch: value('before_switch_percent') / 100 } : {}),
    },
  };
}

/** @throws RangeError that names it */
function parseManifest(text: string): z.infer<typeof manifestSchema> {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new RangeError(`${runFiles.manifest}: ${whatIsWrong(error)}`, { cause: error });
  }
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
