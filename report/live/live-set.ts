/** What the live view shows: the run that goes on, and those of the set that are done. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { contextOf, specOf, type Figure, type Spec } from '../figures/figure.ts';
import { beyondFigures } from '../figures/beyond.ts';
import { liveLatency } from '../figures/latency-over-time.ts';
import { paperCurves } from '../figures/paper-curves.ts';
import { readSet, type Run, type RunSet } from '../record/read-set.ts';
import { GrowingRun } from './growing-run.ts';

/** The figures of the run that goes on, in the order of the page. */
export const runningFigureNames = ['throughput', 'remaining', 'tps', 'latency', 'phases'] as const;
export type RunningFigureName = (typeof runningFigureNames)[number];

export interface RunningView {
  readonly name: string;
  readonly step: string;
  readonly figures: Readonly<Partial<Record<RunningFigureName, Spec>>>;
}

export class LiveSet {
  readonly #name: string;
  readonly #folders: string[] = [];
  #growing: GrowingRun | undefined;
  #done: { readonly key: string; readonly set: RunSet } | undefined;

  /** @param name shown as the set's */
  constructor(name: string) {
    this.#name = name;
  }

  /** A run that begins, or is done already. Of those that are not done, the last one is the one that goes on. */
  add(folder: string): void {
    this.#folders.push(path.resolve(folder));
  }

  /** Runs with figures. The same object until one more is done. */
  async done(): Promise<RunSet> {
    const folders = this.#folders.filter((folder) => existsSync(path.join(folder, 'runs.csv')));
    const key = folders.join('\n');
    if (this.#done?.key !== key) {
      const set = await readSet(folders, { failedToo: false });
      const runs = set.runs.map((run) => ({ ...run, set: this.#name }));
      this.#done = { key, set: { ...set, names: [this.#name], runs } };
    }
    return this.#done.set;
  }

  async running(): Promise<RunningView | undefined> {
    const folder = this.#folders.at(-1);
    if (folder === undefined || existsSync(path.join(folder, 'runs.csv'))) return undefined;
    if (this.#growing?.folder !== folder) this.#growing = new GrowingRun(folder);
    const growing = this.#growing;
    await growing.read();
    const run = await growing.run();
    return {
      name: path.basename(folder),
      step: growing.step,
      figures: run === undefined ? {} : figuresOf(run),
    };
  }
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
    Object.entries(chosen).flatMap(([name, figure]) =>
      figure === undefined ? [] : [[name, specOf(figure, context)]],
    ),
  );
}
