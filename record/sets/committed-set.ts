/** Makes a recorded set as small as it is committed: no number, table or figure that is made of it needs what is left out. */
import { existsSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { constants, gzipSync } from 'node:zlib';
import { CodedError } from '../../foundation/coded-error.ts';
import { plannedCellsFile } from '../../experiments/planned-cells.ts';
import { runsCsv, writeRunsCsv } from '../csv.ts';
import { deriveRow } from '../derive/derive.ts';
import type { Sample } from '../event.ts';
import { readManifest } from '../manifest.ts';
import { readEvents, readSamples, runFiles } from '../read-run.ts';
import type { RunRow } from '../run-columns.ts';
import { foldersOfOthers } from '../run-vms.ts';
import { writeSamplesFile } from '../samples-file.ts';
import { readStored } from '../stored-file.ts';
import { keptSamples, momentsOf } from './kept-samples.ts';
import { readRunFolders, readSetAside } from './recorded-sets.ts';
import { isRunFolder } from './run-folders.ts';

type RunToCommit = Awaited<ReturnType<typeof readSetAside>>[number];

/**
 * Manifests, events, kept samples and one table of rows; attempts that were set aside have their rows themselves. Whole or not
 * at all, and only where the rows that the kept samples give are those of all samples. Made again of what it made, it is alike.
 * @param out a new folder, or the set's own
 * @throws CodedError 'record' `not-readable`, also while a run of it goes on; `not-writable`
 */
export async function writeCommittedSet(set: string, out: string): Promise<void> {
  const [runs, attempts] = [await readRunFolders(set), await readSetAside(set)];
  const all: readonly RunToCommit[] = [...runs, ...attempts];
  for (const { folder } of all)
    if (!existsSync(path.join(folder, runFiles.samples)))
      throw new CodedError('record', 'not-readable', `${folder} goes on, or is to be derived first`);
  const made = `${path.resolve(out)}.new-${process.pid}`;
  const madeFolder = ({ folder }: RunToCommit): string => path.join(made, path.basename(folder));
  try {
    for (const run of all) await writeRun(run, madeFolder(run));
    const rows: RunRow[] = [];
    for (const run of all) {
      const row = await rowOf(run, madeFolder(run));
      if (attempts.includes(run)) await writeRunsCsv(path.join(madeFolder(run), runFiles.row), [row]);
      else rows.push(row);
    }
    rows.sort((a, b) => String(a.started_at).localeCompare(String(b.started_at)));
    await writeRunsCsv(path.join(made, runFiles.row), rows);
    if (existsSync(path.join(set, plannedCellsFile)))
      await cp(path.join(set, plannedCellsFile), path.join(made, plannedCellsFile));
    if (path.resolve(set) === path.resolve(out)) await replaceWith(made, out);
    else await rename(made, out);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    if (error instanceof CodedError) throw error;
    throw new CodedError('record', 'not-writable', `cannot make the set ${out}`, { cause: error });
  }
}

/** What was there goes when the other is in its place: at any moment one of them is whole. */
async function replaceWith(made: string, out: string): Promise<void> {
  const replaced = `${made}.replaced`;
  await rename(out, replaced);
  try {
    await rename(made, out);
  } catch (error) {
    await rename(replaced, out);
    throw error;
  }
  await rm(replaced, { recursive: true });
}

/** The row, which is to be that of all samples. */
async function rowOf({ folder }: RunToCommit, made: string): Promise<RunRow> {
  const row = await deriveRow(made);
  if (runsCsv([row]) === runsCsv([await deriveRow(folder)])) return row;
  throw new CodedError('record', 'not-writable', `${folder}: what is kept of its samples gives another row`);
}

async function writeRun({ folder }: RunToCommit, made: string): Promise<void> {
  await mkdir(made, { recursive: true });
  await cp(path.join(folder, runFiles.manifest), path.join(made, runFiles.manifest));
  const events = path.join(folder, `${runFiles.events}.gz`);
  const madeEvents = path.join(made, `${runFiles.events}.gz`);
  if (existsSync(events)) await cp(events, madeEvents);
  else
    await writeFile(
      madeEvents,
      gzipSync((await readStored(path.join(folder, runFiles.events))) ?? '', {
        level: constants.Z_BEST_COMPRESSION,
      }),
    );
  await writeSamplesFile(path.join(made, runFiles.samples), await keptOf(folder));
}

/** What is kept of the samples of a run. @throws CodedError 'record' `not-readable` */
export async function keptOf(folder: string): Promise<Sample[]> {
  const { vm = 0, configuration } = await readManifest(folder);
  const others = foldersOfOthers(folder, vm, configuration.vms ?? 1).filter(isRunFolder);
  const events = (await readEvents(folder)) ?? [];
  const ofOthers = await Promise.all(others.map(async (other) => momentsOf((await readEvents(other)) ?? [])));
  const samples = (await readSamples(folder)) ?? [];
  return keptSamples(samples, events, [...momentsOf(events), ...ofOthers.flat()]);
}
