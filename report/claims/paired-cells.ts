/** Cells that both of the paper's methods have runs of, in pairs, and their figures. Pure. */
import { cellsOf, valuesOf, type Cell } from '../record/cells.ts';
import type { RunSet } from '../record/read-set.ts';
import type { RunRow } from '../record/run-row.ts';
import { mean } from '../statistics/spread.ts';

/** A load and memory row with both of the paper's methods. */
export interface Pair {
  readonly scenario: string;
  readonly paperRowGib: number;
  readonly precopy: Cell;
  readonly restore: Cell;
}

/** Pairs of which both methods have a run. */
export function pairsOf(set: Pick<RunSet, 'runs'>): Pair[] {
  const cells = cellsOf(set);
  return cells.flatMap((precopy) => {
    if (precopy.engine !== 'precopy') return [];
    const { scenario, paperRowGib } = precopy;
    const restore = cells.find(
      (cell) => cell.engine === 'restore' && cell.scenario === scenario && cell.paperRowGib === paperRowGib,
    );
    if (precopy.runs.length === 0 || restore?.runs.length === 0) return [];
    return restore === undefined ? [] : [{ scenario, paperRowGib, precopy, restore }];
  });
}

/** A figure of a run; undefined where it was not measured or does not apply. */
export type Value = (row: RunRow) => number | undefined;

/** Mean of a cell's repeats; undefined if no run has the figure. */
export function meanOf(cell: Cell, value: Value): number | undefined {
  const values = valuesOf(cell, value);
  return values.length === 0 ? undefined : mean(values);
}

/** Both methods' means, for the pairs that have both. */
export function both(pairs: readonly Pair[], value: Value) {
  return pairs.flatMap((pair) => {
    const precopy = meanOf(pair.precopy, value);
    const restore = meanOf(pair.restore, value);
    return precopy === undefined || restore === undefined ? [] : [{ ...pair, precopy, restore }];
  });
}

/** Both methods' figures of each run, for the pairs that have both. */
export function eachOf(pairs: readonly Pair[], value: Value) {
  return pairs
    .map((pair) => ({ precopy: valuesOf(pair.precopy, value), restore: valuesOf(pair.restore, value) }))
    .filter(({ precopy, restore }) => precopy.length > 0 && restore.length > 0);
}
