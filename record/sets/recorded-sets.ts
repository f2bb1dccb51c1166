/** Finds the runs of result sets on disk, and makes one set of them. */
import { constants, existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { type PlannedRun, plannedCellsFile } from '../../experiments/planned-cells.ts';
import { parseRunsCsv, writeRunsCsv } from '../csv.ts';
import { writeDataPackage } from '../data-package.ts';
import { runFiles } from '../read-run.ts';
import { readManifest } from '../manifest.ts';
import { type RecordedRun, runNameOf } from './merge.ts';
import { addPlannedCells } from './planned-cells.ts';
import { runFoldersOf } from './run-folders.ts';
import type { RunRow } from '../run-columns.ts';

export interface RunOnDisk extends RecordedRun {
  readonly folder: string;
  /** Undefined while there is none: the run goes on, or was cut short. */
  readonly row: RunRow | undefined;
}

/**
 * The runs of a set, as `readRecordedRuns`.
 * @throws CodedError 'record' `not-readable`, also where there is neither a run nor a record of planned cells
 */
export async function readRecordedSet(set: string): Promise<RunOnDisk[]> {
  const runs = await readRecordedRuns(set);
  if (runs.length === 0 && !existsSync(path.join(set, plannedCellsFile)))
    throw new CodedError(
      'record',
      'not-readable',
      `${set} is not a set of runs: no folder in it has a manifest.json`,
    );
  return runs;
}

/**
 * The runs in a folder, which may have none; attempts that a matrix has set aside (`*.failed-1`) are passed over.
 * @throws CodedError 'record' `not-readable`
 */
export async function readRecordedRuns(set: string): Promise<RunOnDisk[]> {
  const folders = await runFoldersOf(set);
  return Promise.all(
    folders.map(async (folder) => ({
      set,
      folder,
      manifest: await readManifest(folder),
      row: await readRow(path.join(folder, 'runs.csv')),
    })),
  );
}

async function readRow(file: string): Promise<RunRow | undefined> {
  if (!existsSync(file)) return undefined;
  try {
    return parseRunsCsv(await readFile(file, 'utf8'))[0];
  } catch (error) {
    throw new CodedError('record', 'not-readable', `${file} is not a table of runs`, { cause: error });
  }
}

/**
 * Copies the runs into a new set, each under its cell's name, and writes its runs.csv by time. Whole or not at all.
 * @param planned cells that the set is to record as planned; undefined: it records none
 * @throws CodedError 'record' `not-writable`
 */
export async function writeMergedSet(
  out: string,
  runs: readonly RunOnDisk[],
  planned: readonly PlannedRun[] | undefined,
): Promise<void> {
  let making: string | undefined;
  try {
    await mkdir(path.dirname(path.resolve(out)), { recursive: true });
    making = await mkdtemp(`${path.resolve(out)}.new-`);
    const copied: RunOnDisk[] = [];
    for (const run of runs) {
      const folder = path.join(making, runNameOf(run.manifest));
      await cp(run.folder, folder, {
        recursive: true,
        preserveTimestamps: true,
        mode: constants.COPYFILE_FICLONE,
      });
      const row = run.row && { ...run.row, run_id: path.basename(folder) };
      if (row !== undefined) await writeRunsCsv(path.join(folder, runFiles.row), [row]);
      copied.push({ ...run, folder, row });
    }
    await writeSetTable(making, copied, path.basename(path.resolve(out)));
    if (planned !== undefined) await addPlannedCells(making, planned);
    await rename(making, out);
  } catch (error) {
    if (making !== undefined) await rm(making, { recursive: true, force: true });
    throw new CodedError('record', 'not-writable', `cannot make the set ${out}`, { cause: error });
  }
}

/** Writes a set's runs.csv, a row for each run that has one, by time, and what its columns are. */
export async function writeSetTable(set: string, runs: readonly RunOnDisk[], name?: string): Promise<void> {
  const byTime = runs.toSorted((a, b) => a.manifest.startedAt.localeCompare(b.manifest.startedAt));
  await writeRunsCsv(
    path.join(set, 'runs.csv'),
    byTime.flatMap(({ row }) => row ?? []),
  );
  await writeDataPackage(set, name);
}
