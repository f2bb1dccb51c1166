/** The paper's grid: a cell is a load, a memory row and an engine, and holds the runs that repeat it. Pure. */
import { engineNames } from '../../experiments/engines.ts';
import { memoryRowNames, memoryRows } from '../../experiments/memory-rows.ts';
import { scenarioNames, type ScenarioName } from '../../experiments/scenarios.ts';
import type { Run, RunSet } from './read-set.ts';
import type { RunRow } from './run-row.ts';

export interface Cell {
  readonly scenario: ScenarioName;
  readonly memGib: number;
  readonly engine: string;
  readonly runs: readonly Run[];
}

export const memorySizesGib: readonly number[] = memoryRowNames.map((name) => memoryRows[name].memoryGib);

/** Heading of a memory row's panel. */
export const panelOf = (memGib: number): string => `${memGib} GiB`;

/** The paper compares these two; figures have a place for them even where no run is. */
export const paperEngines = ['precopy', 'restore'] as const;

/** Engines of a set in the order of experiments/engines.ts; those that it does not know come last. */
export function enginesOf({ runs }: Pick<RunSet, 'runs'>): string[] {
  const present = new Set<string>([...paperEngines, ...runs.map(({ row }) => row.engine)]);
  const known = engineNames.filter((name) => present.has(name));
  return [...known, ...[...present].filter((name) => !known.some((other) => other === name)).sort()];
}

/** Every cell of the grid for the engines of the set, also those without a run. */
export function cellsOf(set: Pick<RunSet, 'runs'>): Cell[] {
  return scenarioNames.flatMap((scenario) =>
    memorySizesGib.flatMap((memGib) =>
      enginesOf(set).map((engine) => ({
        scenario,
        memGib,
        engine,
        runs: set.runs
          .filter(({ row }) => row.scenario === scenario && row.mem_gib === memGib && row.engine === engine)
          .sort((a, b) => a.row.repeat - b.row.repeat),
      })),
    ),
  );
}

/** Figures of a cell's runs; runs that do not have it are left out. */
export function valuesOf(cell: Cell, value: (row: RunRow) => number | undefined): number[] {
  return cell.runs.map(({ row }) => value(row)).filter((figure) => figure !== undefined);
}

/** The run that stands for its cell in a figure over time: of the repeats, the one with the median total time. */
export function typicalRun(cell: Cell): Run | undefined {
  const timeOf = ({ row }: Run): number => row.total_time_ms ?? Number.POSITIVE_INFINITY;
  const byTime = [...cell.runs].sort((a, b) => (timeOf(a) === timeOf(b) ? 0 : timeOf(a) - timeOf(b)));
  return byTime[Math.floor((byTime.length - 1) / 2)];
}

/** Whether a cell has runs of which none migrated in time. */
export function neverConverged(cell: Cell): boolean {
  return cell.runs.length > 0 && cell.runs.every(({ row }) => row.outcome === 'not-converged');
}
