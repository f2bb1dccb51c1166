/** What the live view shows: the run that goes on, and those of the set that are done. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { plannedCellsFile } from '../../experiments/planned-cells.ts';
import { drawnFigure, withTitleBlock } from '../figures/drawn-figure.ts';
import { contextOf, type Figure, type Spec } from '../figures/figure.ts';
import { beyondFigures } from '../figures/beyond.ts';
import { liveLatency } from '../figures/latency-over-time.ts';
import { paperCurves } from '../figures/paper-curves.ts';
import { runFiles } from '../../record/read-run.ts';
import { runFoldersOf } from '../../record/sets/run-folders.ts';
import { readPlannedCells } from '../../record/sets/planned-cells.ts';
import { firstVmsOf } from '../record/cells.ts';
import { readSet, type Run, type RunSet } from '../record/read-set.ts';
import { GrowingRun } from './growing-run.ts';

/** The figures of the run that goes on, in the order of the page. */
export const runningFigureNames = ['throughput', 'remaining', 'tps', 'latency', 'phases'] as const;
type RunningFigureName = (typeof runningFigureNames)[number];

export interface RunningView {
  readonly name: string;
  readonly step: string;
  /** Since the run's start, and the step's. */
  readonly elapsedMs: { readonly run: number; readonly step: number };
  /** Pass, what remains, rates, time left; empty where nothing is known. */
  readonly figuresLine: string;
  readonly figures: Readonly<Partial<Record<RunningFigureName, Spec>>>;
}

interface DoneRuns {
  readonly set: RunSet;
  /** Says what the set was read from: another one where a run is done, or made again. */
  readonly version: string;
}

export class LiveSet {
  readonly #name: string;
  readonly #setFolder: string | undefined;
  readonly #folders: string[] = [];
  #growing: GrowingRun | undefined;
  #done: DoneRuns | undefined;

  /**
   * @param name shown as the set's
   * @param setFolder of a matrix: all runs in it are shown, by its record of planned cells. It need not be there yet.
   * Without it, the runs that are added are shown.
   */
  constructor(name: string, setFolder?: string) {
    this.#name = name;
    this.#setFolder = setFolder === undefined ? undefined : path.resolve(setFolder);
  }

  /** A run that begins. The last one is the one that goes on, until it is done. */
  add(folder: string): void {
    this.#folders.push(path.resolve(folder));
  }

  /** Runs with figures. The same object until there is something new. */
  async done(): Promise<DoneRuns> {
    const folders = (await this.#runFolders()).filter(isDone);
    const files = folders.map((folder) => path.join(folder, runFiles.row));
    if (this.#setFolder !== undefined) files.push(path.join(this.#setFolder, plannedCellsFile));
    const version = await versionOf(files);
    if (this.#done?.version !== version) this.#done = { version, set: await this.#read(folders) };
    return this.#done;
  }

  async #runFolders(): Promise<readonly string[]> {
    if (this.#setFolder === undefined) return this.#folders;
    return existsSync(this.#setFolder) ? await runFoldersOf(this.#setFolder) : [];
  }

  async #read(folders: readonly string[]): Promise<RunSet> {
    // A folder in which nothing is written yet is no set to readSet.
    if (this.#setFolder !== undefined && folders.length > 0)
      return { ...(await readSet([this.#setFolder], { growing: true })), names: [this.#name] };
    const set = await readSet(folders);
    return { ...set, names: [this.#name], runs: set.runs.map((run) => ({ ...run, set: this.#name })) };
  }

  /** Of a set with a record of planned cells: how many runs it is to have, and how many are done. */
  async progress(): Promise<{ readonly done: number; readonly planned: number } | undefined> {
    const planned = this.#setFolder === undefined ? undefined : await readPlannedCells(this.#setFolder);
    return planned && { done: firstVmsOf((await this.done()).set.runs).length, planned: planned.length };
  }

  async running(): Promise<RunningView | undefined> {
    const folder = this.#folders.at(-1);
    if (folder === undefined || isDone(folder)) return undefined;
    if (this.#growing?.folder !== folder) this.#growing = new GrowingRun(folder);
    const growing = this.#growing;
    growing.read();
    const nowMs = Date.now();
    const run = await growing.run();
    return {
      name: path.basename(folder),
      step: growing.step,
      elapsedMs: { run: nowMs - (growing.startedMs ?? nowMs), step: nowMs - growing.stepFromMs },
      figuresLine: growing.figuresLine,
      figures: run === undefined ? {} : figuresOf(run),
    };
  }
}

/** Runs of a committed set have their rows in its table. */
const isDone = (folder: string): boolean =>
  [runFiles.row, runFiles.samples].some((name) => existsSync(path.join(folder, name)));

/** Of files, those that are not there as well: a file that is made again has another time. */
async function versionOf(files: readonly string[]): Promise<string> {
  const states = await Promise.all(
    files.map(async (file) => [file, (await stat(file).catch(() => undefined))?.mtimeMs ?? null]),
  );
  return createHash('sha256').update(JSON.stringify(states)).digest('hex').slice(0, 16);
}

function figuresOf(run: Run): RunningView['figures'] {
  const { scenario } = run.row;
  const curve = (what: string): Figure | undefined =>
    paperCurves.find(({ name }) => name.endsWith(`${what}-${scenario}`));
  const chosen: Readonly<Record<RunningFigureName, Figure | undefined>> = {
    throughput: curve('nic-throughput'),
    remaining: curve('remaining-memory'),
    tps: curve('tps'),
    latency: scenario === 'idle' ? undefined : liveLatency,
    phases: beyondFigures.find(({ title }) => title === 'title.timeline'),
  };
  const set: RunSet = { names: [run.name], runs: [run], leftOut: [], planned: [], recordedPlans: [] };
  const context = contextOf(set, 'en', true);
  return Object.fromEntries(
    Object.entries(chosen).flatMap(([name, figure]) => {
      const drawn = figure && drawnFigure(figure, context);
      return drawn === undefined ? [] : [[name, withTitleBlock(drawn)]];
    }),
  );
}
