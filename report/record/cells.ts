/** A cell is a load, a memory row of the paper and an engine, and holds the runs that repeat it. Pure. */
import { median } from 'simple-statistics';
import { engineNames } from '../../experiments/engines.ts';
import { type PaperRowGib, paperRowsGib } from '../../experiments/paper-rows.ts';
import { paperScenarioNames, scenarioNames, type ScenarioName } from '../../experiments/scenarios.ts';
import type { Place, Run, RunSet } from './read-set.ts';
import type { RunRow } from './run-row.ts';

export interface Cell {
  readonly scenario: ScenarioName;
  readonly paperRowGib: number;
  readonly engine: string;
  readonly runs: readonly Run[];
}

/** What decides which cells there are. */
type Places = Pick<RunSet, 'runs'> & Partial<Pick<RunSet, 'planned' | 'recordedPlans'>>;

function placesOf({ runs, planned = [] }: Places): Place[] {
  const ofRuns = runs.map(({ set, row }) => ({
    set,
    scenario: row.scenario,
    paperRowGib: row.paper_row_gib,
    engine: row.engine,
  }));
  return [...ofRuns, ...planned];
}

/** Engines of a set in the order of experiments/engines.ts; those that it does not know come last. */
export function enginesOf(set: Places): string[] {
  const present = new Set<string>(placesOf(set).map(({ engine }) => engine));
  const known = engineNames.filter((name) => present.has(name));
  return [...known, ...[...present].filter((name) => !known.some((other) => other === name)).sort()];
}

/**
 * The cells that were run or were to be run. A set that records its plan says so itself; for others it is guessed: every
 * engine in every row (load and memory) that the set has. What nobody meant to run has no cell; see `unmeasuredRows` for
 * the paper's rows.
 */
export function cellsOf(set: Places): Cell[] {
  const places = placesOf(set);
  const keyOf = (scenario: string, paperRowGib: number, engine: string) =>
    `${scenario} ${paperRowGib} ${engine}`;
  const wanted = new Set(
    [...Map.groupBy(places, (place) => place.set)].flatMap(([name, ofSet]) =>
      ofSet.flatMap(({ scenario, paperRowGib, engine }) => {
        const isRecorded = set.recordedPlans?.includes(name) ?? false;
        const engines = isRecorded ? [engine] : ofSet.map((place) => place.engine);
        return engines.map((one) => keyOf(scenario, paperRowGib, one));
      }),
    ),
  );
  return scenarioNames.flatMap((scenario) =>
    paperRowsGib.flatMap((paperRowGib) =>
      enginesOf(set)
        .filter((engine) => wanted.has(keyOf(scenario, paperRowGib, engine)))
        .map((engine) => ({
          scenario,
          paperRowGib,
          engine,
          runs: set.runs
            .filter(
              ({ row }) =>
                row.scenario === scenario && row.paper_row_gib === paperRowGib && row.engine === engine,
            )
            .sort((a, b) => a.row.repeat - b.row.repeat),
        })),
    ),
  );
}

/** A row of the paper's grid. */
export type Row = Pick<Cell, 'scenario' | 'paperRowGib'>;

const paperGrid: readonly Row[] = paperScenarioNames.flatMap((scenario) =>
  paperRowsGib.map((paperRowGib) => ({ scenario, paperRowGib })),
);

/** Rows of the paper, of these loads, that no run is of. */
export function unmeasuredRows(runs: readonly Run[], loads: readonly ScenarioName[]): Row[] {
  return paperGrid.filter(
    ({ scenario, paperRowGib }) =>
      loads.includes(scenario) &&
      !runs.some(({ row }) => row.scenario === scenario && row.paper_row_gib === paperRowGib),
  );
}

/** Memory rows of the cells, ascending. */
export function paperRowsGibOf(cells: readonly Row[]): PaperRowGib[] {
  return paperRowsGib.filter((size) => cells.some(({ paperRowGib }) => paperRowGib === size));
}

/** Loads of the cells, the paper's first and in its order. */
export function scenariosOf(cells: readonly Row[]): ScenarioName[] {
  return scenarioNames.filter((name) => cells.some(({ scenario }) => scenario === name));
}

/** Without those of other VMs that were moved at once: what one run says several times over. */
export function firstVmsOf(runs: readonly Run[]): readonly Run[] {
  return runs.filter(({ row }) => (row.vm ?? 0) === 0);
}

/** Figures of a cell's runs; runs that do not have it are left out. */
export function valuesOf(cell: Cell, value: (row: RunRow) => number | undefined): number[] {
  return cell.runs.map(({ row }) => value(row)).filter((figure) => figure !== undefined);
}

/** Undefined if no run of the cell has it. */
export function medianOf(cell: Cell, value: (row: RunRow) => number | undefined): number | undefined {
  const values = valuesOf(cell, value);
  return values.length === 0 ? undefined : median(values);
}

/** The run that stands for its cell in a figure over time: of the repeats, the one with the median total time. */
export function typicalRun(cell: Cell): Run | undefined {
  const timeOf = ({ row }: Run): number => row.total_time_ms ?? Number.POSITIVE_INFINITY;
  const byTime = [...cell.runs].sort((a, b) => (timeOf(a) === timeOf(b) ? 0 : timeOf(a) - timeOf(b)));
  return byTime[Math.floor((byTime.length - 1) / 2)];
}

/** Whether a cell has runs of which none migrated in time. */
export function neverConverged(cell: Pick<Cell, 'runs'>): boolean {
  return cell.runs.length > 0 && cell.runs.every(({ row }) => row.outcome === 'not-converged');
}

/** How many of a cell's runs migrated in time; undefined where all of them did, or none. */
export function convergedInPart(
  cell: Pick<Cell, 'runs'>,
): { readonly converged: number; readonly runs: number } | undefined {
  const runs = firstVmsOf(cell.runs);
  const converged = runs.filter(({ row }) => row.outcome !== 'not-converged').length;
  return converged === 0 || converged === runs.length ? undefined : { converged, runs: runs.length };
}
