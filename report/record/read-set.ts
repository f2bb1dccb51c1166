/** Finds and reads the runs below the folders that a report is made from. */
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { ReportError } from '../report-error.ts';
import { parseEvents, type RunEvent } from './events.ts';
import { manifestSchema, type Manifest } from './manifest.ts';
import { parseRunsCsv, type RunRow } from './run-row.ts';
import { parseSamplesCsv, type SeriesByName } from './series.ts';

export interface Run {
  /** Folder name; within a set it is the cell's. */
  readonly name: string;
  readonly row: RunRow;
  readonly manifest: Manifest;
  readonly events: readonly RunEvent[];
  readonly series: SeriesByName;
  /** While the run goes on: the time of its last sample, since the migrate command. */
  readonly nowMs?: number;
}

export interface RunSet {
  /** Names of the folders that were given. */
  readonly names: readonly string[];
  /** Runs that figures are made from. */
  readonly runs: readonly Run[];
  /** Runs that are not, and why. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

export interface ReadOptions {
  /** Take runs whose checks failed too, where they have a row of figures. */
  readonly failedToo?: boolean;
}

/**
 * A folder is a run (it has a manifest.json) or a set of runs. Files may be compressed: `samples.csv.gz`. Attempts that a
 * matrix has set aside (`*.failed-1`) are passed over.
 * @throws ReportError `not-readable`
 */
export async function readSet(folders: readonly string[], options: ReadOptions = {}): Promise<RunSet> {
  const runs: Run[] = [];
  const leftOut: RunSet['leftOut'][number][] = [];
  for (const folder of folders) {
    const runFolders = await runFoldersOf(folder);
    if (runFolders.length === 0) {
      throw new ReportError('not-readable', `${folder} is neither a result folder nor a set of them`);
    }
    for (const runFolder of runFolders) {
      const name = path.basename(runFolder);
      const run = await readRun(runFolder);
      if (run === undefined) leftOut.push({ name, reason: 'has no figures (no runs.csv)' });
      else if (isUsable(run.row.outcome, options)) runs.push(run);
      else leftOut.push({ name, reason: reasonOf(run) });
    }
  }
  return { names: folders.map((folder) => path.basename(path.resolve(folder))), runs, leftOut };
}

async function runFoldersOf(folder: string): Promise<string[]> {
  if (existsSync(path.join(folder, 'manifest.json'))) return [path.resolve(folder)];
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new ReportError('not-readable', `cannot read the folder ${folder}`, { cause: error });
  });
  return entries
    .filter((entry) => entry.isDirectory() && !/\.failed-\d+$/.test(entry.name))
    .map((entry) => path.resolve(folder, entry.name))
    .filter((entry) => existsSync(path.join(entry, 'manifest.json')))
    .sort();
}

function isUsable(outcome: RunRow['outcome'], { failedToo = false }: ReadOptions): boolean {
  return outcome === 'completed' || outcome === 'not-converged' || (failedToo && outcome === 'failed');
}

function reasonOf({ row, events }: Run): string {
  const ended = events.findLast((event) => event.event === 'run-ended');
  const reason = ended?.event === 'run-ended' ? ended.reason : undefined;
  return `${row.outcome === '' ? 'unfinished' : row.outcome}${reason === undefined ? '' : `: ${reason}`}`;
}

async function readRun(folder: string): Promise<Run | undefined> {
  const parsed = async <Value>(name: string, parse: (text: string) => Value): Promise<Value | undefined> => {
    try {
      const text = await readText(path.join(folder, name));
      return text === undefined ? undefined : parse(text);
    } catch (error) {
      throw new ReportError('not-readable', `${path.join(folder, name)} is not as described`, {
        cause: error,
      });
    }
  };
  const row = (await parsed('runs.csv', parseRunsCsv))?.[0];
  const manifest = await parsed('manifest.json', (text) => manifestSchema.parse(JSON.parse(text)));
  if (row === undefined || manifest === undefined) return undefined;
  return {
    name: path.basename(folder),
    row,
    manifest,
    events: (await parsed('events.jsonl', parseEvents)) ?? [],
    series: (await parsed('samples.csv', parseSamplesCsv)) ?? new Map(),
  };
}

async function readText(file: string): Promise<string | undefined> {
  if (existsSync(file)) return await readFile(file, 'utf8');
  if (existsSync(`${file}.gz`))
    return (await promisify(gunzip)(await readFile(`${file}.gz`))).toString('utf8');
  return undefined;
}
