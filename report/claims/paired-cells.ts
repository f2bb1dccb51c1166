/** Cells that both of the paper's methods have runs of, in pairs, and their figures. Pure. */
import { cellsOf, firstVmsOf, valuesOf, type Cell } from '../record/cells.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import type { RunRow } from '../record/run-row.ts';
import { isCut } from './not-converged.ts';
import { mean } from '../statistics/spread.ts';

/** A load and memory row with both of the paper's methods. */
export interface Pair {
  readonly scenario: string;
  readonly paperRowGib: number;
  readonly precopy: Cell;
  readonly restore: Cell;
}

/** Pairs of which both methods have a run; two VMs that were moved at once are no two repeats. */
export function pairsOf({ runs }: Pick<RunSet, 'runs'>): Pair[] {
  const cells = cellsOf({ runs: firstVmsOf(runs) });
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

/** Both methods' figures of each run, for the pairs that have both. */
export function eachOf(
  pairs: readonly Pair[],
  valuesOfPrecopy: (cell: Cell) => readonly number[],
  valuesOfRestore = valuesOfPrecopy,
) {
  return pairs.flatMap((pair) => {
    const precopy = valuesOfPrecopy(pair.precopy);
    const restore = valuesOfRestore(pair.restore);
    if (precopy.length === 0 || restore.length === 0) return [];
    return [{ ...pair, precopy, restore, fewest: Math.min(precopy.length, restore.length) }];
  });
}

/** Both methods' means, for the pairs that have both. */
export function both(pairs: readonly Pair[], value: Value) {
  return eachOf(pairs, (cell) => valuesOf(cell, value)).map(meansOf);
}

/**
 * Both methods' means of what a migration costs, for claims in favour of restore. One that did not converge costs more than
 * any with restore; with pre-copy at least what `leastOfCut` says, and it is in no mean where nothing can be said.
 */
export function bothCosts(
  pairs: readonly Pair[],
  value: Value,
  leastOfCut: (run: Run) => number | undefined = () => undefined,
) {
  const costsOf =
    (ofCut: typeof leastOfCut) =>
    ({ runs }: Cell): number[] =>
      runs.flatMap((run) => (isCut(run) ? ofCut(run) : value(run.row)) ?? []);
  return eachOf(
    pairs,
    costsOf(leastOfCut),
    costsOf(() => Infinity),
  ).map(meansOf);
}

const meansOf = <Both extends { readonly precopy: readonly number[]; readonly restore: readonly number[] }>({
  precopy,
  restore,
  ...pair
}: Both) => ({ ...pair, precopy: mean(precopy), restore: mean(restore) });
