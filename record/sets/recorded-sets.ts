/** Finds the runs of result sets on disk, and makes one set of them. */
import { constants, existsSync } from 'node:fs';
import { cp, mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { type PlannedRun, plannedCellsFile } from '../../experiments/planned-cells.ts';
import { parseRunsCsv, writeRunsCsv } from '../csv.ts';
import { writeDataPackage } from '../data-package.ts';
import { readRowText, rowFileOf, runFiles } from '../read-run.ts';
import { readManifest } from '../manifest.ts';
import { type RecordedRun, runNameOf } from './merge.ts';
import { addPlannedCells } from './planned-cells.ts';
import { isSetAside, runFoldersOf } from './run-folders.ts';
import type { RunRow } from '../run-columns.ts';

export interface RunOnDisk extends RecordedRun {
  readonly folder: string;
  /** Undefined while there is none: the run goes on, or was cut short. */
  readonly row: RunRow | undefined;
}

type RunFolder = RecordedRun & { readonly folder: string };

/**
 * The runs of a set, as `readRecordedRuns`.
 * @throws CodedError 'record' `not-readable`, also where there is neither a run nor a record of planned cells
 */
export async function readRecordedSet(set: string): Promise<RunOnDisk[]> {
  return withRows(await readRunFolders(set));
}

/**
 * The same without their rows, which may be broken: to make them again.
 * @throws CodedError 'record' `not-readable`
 */
export async function readRunFolders(set: string): Promise<RunFolder[]> {
  const runs = await withManifests(set, await runFoldersOf(set));
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
  return withRows(await withManifests(set, await runFoldersOf(set)));
}

const withManifests = (set: string, folders: readonly string[]): Promise<RunFolder[]> =>
  Promise.all(folders.map(async (folder) => ({ set, folder, manifest: await readManifest(folder) })));

const withRows = (runs: readonly RunFolder[]): Promise<RunOnDisk[]> =>
  Promise.all(runs.map(async (run) => ({ ...run, row: await readRow(run.folder) })));

/**
 * Attempts that failed and were made again (`*.failed-1`), of the runs in a folder.
 * @throws CodedError 'record' `not-readable`
 */
export async function readSetAside(set: string): Promise<RunFolder[]> {
  return withManifests(set, (await runFoldersOf(set, { setAsideToo: true })).filter(isSetAside));
}

async function readRow(folder: string): Promise<RunRow | undefined> {
  try {
    return parseRunsCsv((await readRowText(folder)) ?? '')[0];
  } catch (error) {
    throw new CodedError('record', 'not-readable', `${rowFileOf(folder)} is not a table of runs`, {
      cause: error,
    });
  }
}

/**
 * Copies the runs into a new set, each under its cell's name, and writes its runs.csv by time. Whole or not at all.
 * @param attempts that were set aside: the gate counts them
 * @param planned cells that the set is to record as planned; undefined: it records none
 * @throws CodedError 'record' `not-writable`
 */
export async function writeMergedSet(
  out: string,
  runs: readonly RunOnDisk[],
  attempts: readonly RunFolder[],
  planned: readonly PlannedRun[] | undefined,
): Promise<void> {
  let making: string | undefined;
  try {
    await mkdir(path.dirname(path.resolve(out)), { recursive: true });
    // As others may read what a matrix makes: a temporary folder of the system's would be its owner's alone.
    const folder = `${path.resolve(out)}.new-${process.pid}`;
    await mkdir(folder);
    making = folder;
    const copy = async (from: string, name: string): Promise<string> => {
      const to = path.join(folder, name);
      await cp(from, to, { recursive: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE });
      return to;
    };
    const copied: RunOnDisk[] = [];
    for (const run of runs) {
      const own = await copy(run.folder, runNameOf(run.manifest));
      const row = run.row && { ...run.row, run_id: path.basename(own) };
      if (row !== undefined) await writeRunsCsv(path.join(own, runFiles.row), [row]);
      copied.push({ ...run, folder: own, row });
    }
    for (const [name, ofCell] of Map.groupBy(attempts, ({ manifest }) => runNameOf(manifest)))
      for (const [index, attempt] of ofCell.entries())
        await copy(attempt.folder, `${name}.failed-${index + 1}`);
    await writeSetTable(folder, copied, path.basename(path.resolve(out)));
    if (planned !== undefined) await addPlannedCells(folder, planned);
    await rename(folder, out);
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
