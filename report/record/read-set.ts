/** Finds and reads the runs below the folders that a report is made from. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { runName } from '../../experiments/matrix.ts';
import { paperRows, paperRowsGib } from '../../experiments/paper-rows.ts';
import { parsePlannedCells, plannedCellsFile, type PlannedRun } from '../../experiments/planned-cells.ts';
import { scenarioNames } from '../../experiments/scenarios.ts';
import { fillSilentSeconds } from '../../record/derive/silent-seconds.ts';
import {
  onOneClock,
  readEvents,
  readRowText,
  readSamples,
  rowFileOf,
  runFiles,
} from '../../record/read-run.ts';
import { isRunFolder, isSetAside, runFoldersOf } from '../../record/sets/run-folders.ts';
import { readStored } from '../../record/stored-file.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import { relativeEvents, type RunEvent } from './events.ts';
import { anyManifestSchema, type AnyManifest } from '../../record/manifest.ts';
import { parseRunRows, type RunRow } from './run-row.ts';
import { isWantedMetric, seriesByName, type SeriesByName } from './series.ts';

export interface Run {
  /** Folder name; within a set it is the cell's. */
  readonly name: string;
  /** Folder of the set that it is part of; empty for a run that was given by itself. */
  readonly set: string;
  readonly row: RunRow;
  readonly manifest: AnyManifest;
  readonly events: readonly RunEvent[];
  readonly series: SeriesByName;
  /** While the run goes on: the time of its last sample, since the migrate command. */
  readonly nowMs?: number;
}

/** Where in a set a run has its place, or was to have it. */
export interface Place {
  readonly set: string;
  readonly scenario: string;
  readonly paperRowGib: number;
  readonly engine: string;
}

/** How many times as fast as pre-copy a method is, by simulation. */
export interface SimulatedGain {
  readonly engine: string;
  /** Dirty rate over the rate of the migration link. */
  readonly dirtyShare: number;
  readonly gain: number;
}

interface LeftOut {
  readonly name: string;
  readonly reason: string;
  /** It was planned, where the set records its plan, and there is no run of it. */
  readonly neverBegun?: true;
  /** Commits that it lost, where it did. */
  readonly lost?: number;
}

export interface RunSet {
  /** Names of the folders that were given. */
  readonly names: readonly string[];
  /** Runs that figures are made from. */
  readonly runs: readonly Run[];
  /** Runs that are not, and why. */
  readonly leftOut: readonly LeftOut[];
  /** The cells of those, which are missing for that reason. */
  readonly planned: readonly Place[];
  /** The simulation's gains for these runs, where somebody who knows it has added them. */
  readonly simulatedGains?: readonly SimulatedGain[];
  /** Sets that record which cells were planned (planned-cells.json): what else is missing in the others is guessed. */
  readonly recordedPlans: readonly string[];
}

interface ReadOptions {
  /** Take runs whose checks failed too, where they have a row of figures. */
  readonly failedToo?: boolean;
  /** Take attempts that failed and were made again (`*.failed-1`), too, where runs that failed are taken. */
  readonly setAsideToo?: boolean;
  /** The sets grow: a run without figures goes on, and a planned cell without a run is yet to come. Neither is missing. */
  readonly growing?: boolean;
  /** Read no samples, which are most of a run: figures over time are not to be had then. */
  readonly withoutSamples?: boolean;
}

/**
 * A folder is a run (it has a manifest.json) or a set of runs. Attempts that a matrix has set aside (`*.failed-1`) are passed
 * over, unless they are asked for. A set in which nothing was run yet may have a plan all the same. What is given twice, as a
 * set and one of its runs, or as two copies of one run, is read once.
 * @throws CodedError 'report' `not-readable`
 */
export async function readSet(folders: readonly string[], options: ReadOptions = {}): Promise<RunSet> {
  const runs: Run[] = [];
  const leftOut: LeftOut[] = [];
  const planned: Place[] = [];
  const recordedPlans: string[] = [];
  const taken = new Set<string>();
  /**
   * Of runs that were read, by what is the same in copies, which are no other repeats. Those in another set, as a merged set
   * and its shards have, are expected; one beside its original is not.
   */
  const firstOf = new Map<string, { readonly set: string; readonly name: string }>();
  /** Whether a folder is met for the first time, by whatever path. */
  const isNew = async (folder: string): Promise<boolean> => {
    const real = await realpath(folder).catch(() => path.resolve(folder));
    const isFirst = !taken.has(real);
    taken.add(real);
    return isFirst;
  };
  // A run of a set that is given, too, is the set's.
  const setsFirst = [...folders].sort((a, b) => Number(isRunFolder(a)) - Number(isRunFolder(b)));
  for (const folder of setsFirst) {
    if (!(await isNew(folder))) continue;
    const isRun = isRunFolder(folder);
    const runFolders = isRun ? [path.resolve(folder)] : await runFoldersOf(folder, options);
    const plan = isRun ? undefined : await planOf(folder);
    if (runFolders.length === 0 && plan === undefined) {
      throw new CodedError(
        'report',
        'not-readable',
        `${folder} is neither a result folder nor a set of them`,
      );
    }
    const set = isRun ? '' : path.resolve(folder);
    const begun = new Set<string>();
    for (const runFolder of runFolders) {
      const name = path.basename(runFolder);
      const { manifest, measured } = await readRun(runFolder, options);
      const { scenario, paperRowGib, engine } = manifest.configuration;
      // An attempt that failed is not the run that was to be made again.
      const isAttempt = !isRun && isSetAside(runFolder);
      if (!isAttempt) begun.add(runNameOf({ ...manifest.configuration, repeat: manifest.repeat }));
      if (!isRun && !(await isNew(runFolder))) continue;
      const identity = JSON.stringify([manifest.runId, manifest.startedAt, manifest.vm]);
      const ownSet = isRun ? path.dirname(path.resolve(runFolder)) : set;
      const original = firstOf.get(identity);
      if (original !== undefined) {
        if (original.set === ownSet) leftOut.push({ name, reason: `is a copy of ${original.name}` });
        continue;
      }
      firstOf.set(identity, { set: ownSet, name });
      const unknown = unknownPlaceOf(manifest);
      if (unknown !== undefined) {
        leftOut.push({ name, reason: unknown });
        continue;
      }
      const outcome = measured?.row.outcome;
      if (measured !== undefined && isUsable(outcome, options) && (!isAttempt || outcome === 'failed')) {
        runs.push({ name, set, manifest, ...measured });
        continue;
      }
      if (measured === undefined && options.growing === true) continue;
      const lost = measured?.row.ledger_lost ?? 0;
      leftOut.push({
        name,
        reason: measured === undefined ? 'has no numbers (no row in runs.csv)' : reasonOf(measured),
        ...(lost > 0 ? { lost } : {}),
      });
      planned.push({ set, scenario, paperRowGib, engine });
    }
    if (plan === undefined) continue;
    recordedPlans.push(set);
    if (options.growing === true) continue;
    for (const cell of plan.filter((one) => !begun.has(runName(one)))) {
      leftOut.push({
        name: runName(cell),
        reason: 'was planned, and there is no run of it',
        neverBegun: true,
      });
      planned.push({
        set,
        scenario: cell.scenario,
        paperRowGib: paperRows[cell.mem].paperRowGib,
        engine: cell.engine,
      });
    }
  }
  const names = folders.map((folder) => path.basename(path.resolve(folder)));
  return { names, runs, leftOut, planned, recordedPlans };
}

/** What its folder is called in a set. */
const runNameOf = ({ paperRowGib, ...run }: Omit<Place, 'set'> & { readonly repeat: number }): string =>
  runName({ scenario: run.scenario, mem: String(paperRowGib), engine: run.engine, repeat: run.repeat });

/** The set's planned-cells.json, if it has one. */
async function planOf(folder: string): Promise<readonly PlannedRun[] | undefined> {
  const file = path.join(folder, plannedCellsFile);
  const text = await readStored(file);
  if (text === undefined) return undefined;
  const parsed = parsePlannedCells(text);
  if (!parsed.ok)
    throw new CodedError(
      'report',
      'not-readable',
      `${file} is not a record of planned cells: ${parsed.problem}`,
    );
  return parsed.cells;
}

/** Why no figure has a place for it, and none of the gate's cells; undefined where there is one. */
function unknownPlaceOf({ configuration: { scenario, paperRowGib } }: AnyManifest): string | undefined {
  if (!scenarioNames.some((name) => name === scenario))
    return `has a load that this version does not know: ${scenario}`;
  if (!paperRowsGib.some((row) => row === paperRowGib))
    return `has a memory row that this version does not know: ${paperRowGib}`;
  return undefined;
}

function isUsable(outcome: RunRow['outcome'], { failedToo = false }: ReadOptions): boolean {
  return outcome === 'completed' || outcome === 'not-converged' || (failedToo && outcome === 'failed');
}

type Measured = Pick<Run, 'row' | 'events' | 'series'>;

function reasonOf({ row, events }: Measured): string {
  const ended = events.findLast((event) => event.event === 'run-ended');
  const reason = ended?.event === 'run-ended' ? ended.reason : undefined;
  return `${row.outcome ?? 'unfinished'}${reason === undefined ? '' : `: ${reason}`}`;
}

/** Without figures there is only what was asked for. */
async function readRun(
  folder: string,
  { withoutSamples = false }: ReadOptions,
): Promise<Pick<Run, 'manifest'> & { measured: Measured | undefined }> {
  const parsed = async <Value>(
    file: string,
    parse: (text: string) => Value,
    read = () => readStored(file),
  ): Promise<Value | undefined> => {
    try {
      const text = await read();
      return text === undefined ? undefined : parse(text);
    } catch (error) {
      throw new CodedError('report', 'not-readable', `${file} is not as described: ${whatIsWrong(error)}`, {
        cause: error,
      });
    }
  };
  // First: it says which row of a set's table is the run's.
  const manifest = await parsed(path.join(folder, runFiles.manifest), (text) =>
    anyManifestSchema.parse(JSON.parse(text)),
  );
  if (manifest === undefined)
    throw new CodedError('report', 'not-readable', `${folder} has no ${runFiles.manifest}`);
  const row = (await parsed(rowFileOf(folder), parseRunRows, () => readRowText(folder)))?.[0];
  const name = runNameOf({ ...manifest.configuration, repeat: manifest.repeat });
  const rowsName = row === undefined ? name : runNameOf({ ...row, paperRowGib: row.paper_row_gib });
  if (rowsName !== name)
    throw new CodedError(
      'report',
      'not-readable',
      `${rowFileOf(folder)} is of ${rowsName}, and ${path.join(folder, runFiles.manifest)} of ${name}`,
    );
  return {
    manifest,
    measured: row === undefined ? undefined : { row, ...(await readOverTime(folder, withoutSamples)) },
  };
}

/** Without events, or of a run that was never told to migrate, there is no time since that: figures over time are then missing. */
async function readOverTime(
  folder: string,
  withoutSamples: boolean,
): Promise<Pick<Run, 'events' | 'series'>> {
  try {
    const recorded = (await readEvents(folder)) ?? [];
    const { events, zeroMs } = relativeEvents(recorded);
    if (withoutSamples || zeroMs === undefined) return { events, series: new Map() };
    const raw = onOneClock(recorded, (await readSamples(folder, isWantedMetric)) ?? []);
    const samples = fillSilentSeconds(raw.events, raw.samples);
    return { events, series: seriesByName(samples, zeroMs) };
  } catch (error) {
    if (!isCoded(error, 'record')) throw error;
    throw new CodedError('report', 'not-readable', whatIsWrong(error), { cause: error });
  }
}
