/** Statistics of two sets of repeats of the same cells: permutation test, bootstrap interval, effect size. Pure. */
import type { Random } from '../statistics/seeded-random.ts';
import { mean, quantile } from '../statistics/spread.ts';

/** Repeats of one cell, before and after. Neither is empty. */
export interface PairedCell {
  readonly base: readonly number[];
  readonly next: readonly number[];
}

/**
 * Relative change, as mean over cells of (next - base) / their middle: every cell weighs alike, whatever its size, and a
 * base of zero (throughput that never fell) is no special case. Between -2 and 2.
 */
function statistic(cells: readonly PairedCell[]): number {
  return mean(cells.map(({ base, next }) => changeOf(mean(base), mean(next))));
}

/** (after - before) / their middle; 0 where both are. */
export function changeOf(before: number, after: number): number {
  const middle = (Math.abs(before) + Math.abs(after)) / 2;
  return middle === 0 ? 0 : (after - before) / middle;
}

/** From the symmetric scale of `statistic` to next / base - 1. */
const relative = (symmetric: number): number => (1 + symmetric / 2) / (1 - symmetric / 2) - 1;

/** Of next against base: +0.1 is 10 % more. Infinite where every base is zero. */
export function relativeChange(cells: readonly PairedCell[]): number {
  return relative(statistic(cells));
}

interface PermutationResult {
  /** Two-sided: share of relabellings that change at least as much. */
  readonly p: number;
  /** The least p that so many repeats can show, whatever the values. */
  readonly minP: number;
}

const allUpTo = 20_000;
const drawn = 10_000;

/** How many ways there are to exchange labels within cells. */
const waysOf = (cells: readonly PairedCell[]): number =>
  cells.reduce((product, { base, next }) => product * binomial(base.length + next.length, base.length), 1);

/** The least p that so many repeats can show, whatever the values. */
export function minPOf(cells: readonly PairedCell[]): number {
  const ways = waysOf(cells);
  if (ways > allUpTo) return 1 / (drawn + 1);
  // Exchanging all labels gives the same two-sided change, if the cells allow it.
  return cells.every(({ base, next }) => base.length === next.length) ? 2 / ways : 1 / ways;
}

/**
 * If the builds do not differ, then within a cell any run could have been of either. So labels are exchanged within cells:
 * all ways if there are few, else a random choice of them. With one repeat this is the sign-flip test of pairs.
 */
export function permutationTest(cells: readonly PairedCell[], random: Random): PermutationResult {
  // A rounding error must not make an arrangement "less" than the one that it equals.
  const observed = Math.abs(statistic(cells)) - 1e-12;
  const ways = waysOf(cells);
  const minP = minPOf(cells);
  if (ways <= allUpTo) {
    const extreme = countExtreme(cells.map(changesOf), observed * cells.length);
    return { p: extreme / ways, minP };
  }
  let extreme = 1; // the arrangement that was observed
  for (let index = 0; index < drawn; index += 1) {
    if (Math.abs(statistic(cells.map((cell) => relabelled(cell, random)))) >= observed) extreme += 1;
  }
  return { p: extreme / (drawn + 1), minP };
}

/** A cell's change for every way to choose which of its values are of the base. */
function changesOf({ base, next }: PairedCell): number[] {
  const values = [...base, ...next];
  return [...choices(values.length, base.length)].map((chosen) =>
    changeOf(
      mean(values.filter((_, index) => chosen.has(index))),
      mean(values.filter((_, index) => !chosen.has(index))),
    ),
  );
}

/** How many of the ways to choose one change of each cell have a sum of at least `atLeast`, of whichever sign. */
function countExtreme(changes: readonly (readonly number[])[], atLeast: number, sum = 0): number {
  const [first, ...others] = changes;
  if (first === undefined) return Math.abs(sum) >= atLeast ? 1 : 0;
  return first.reduce((count, change) => count + countExtreme(others, atLeast, sum + change), 0);
}

function* choices(from: number, count: number, first = 0): Generator<Set<number>> {
  if (count === 0) {
    yield new Set();
    return;
  }
  for (let index = first; index <= from - count; index += 1) {
    for (const rest of choices(from, count - 1, index + 1)) yield rest.add(index);
  }
}

function relabelled({ base, next }: PairedCell, random: Random): PairedCell {
  const values = [...base, ...next];
  for (let index = values.length - 1; index > 0; index -= 1) {
    const other = Math.floor(random() * (index + 1));
    const value = values[index] ?? 0;
    values[index] = values[other] ?? 0;
    values[other] = value;
  }
  return { base: values.slice(0, base.length), next: values.slice(base.length) };
}

function binomial(n: number, k: number): number {
  let ways = 1;
  for (let index = 1; index <= k; index += 1) ways = (ways * (n - k + index)) / index;
  return Math.round(ways);
}

const resamples = 2000;

/**
 * 95 % percentile interval of the relative change. Repeats are drawn anew within each cell, and where a cell has none to
 * draw from (one run), the cells are. Undefined for a single pair of runs.
 */
export function bootstrapInterval(
  cells: readonly PairedCell[],
  random: Random,
): readonly [low: number, high: number] | undefined {
  const hasRepeats = cells.every(({ base, next }) => base.length > 1 && next.length > 1);
  if (!hasRepeats && cells.length < 2) return undefined;
  /** Of as many values as there are, each drawn from all. */
  const drawnMean = (values: readonly number[]): number => {
    let sum = 0;
    for (let count = 0; count < values.length; count += 1)
      sum += values[Math.floor(random() * values.length)] ?? 0;
    return sum / values.length;
  };
  const ofCells = cells.map(({ base, next }) => changeOf(mean(base), mean(next)));
  const changes = Array.from({ length: resamples }, () =>
    hasRepeats
      ? mean(cells.map(({ base, next }) => changeOf(drawnMean(base), drawnMean(next))))
      : drawnMean(ofCells),
  );
  return [relative(quantile(changes, 0.025)), relative(quantile(changes, 0.975))];
}

/** Cliff's delta, mean of the cells: how much more often next is above base than below. Between -1 and 1. */
export function cliffsDelta(cells: readonly PairedCell[]): number {
  return mean(
    cells.map(({ base, next }) =>
      mean(base.flatMap((before) => next.map((after) => Math.sign(after - before)))),
    ),
  );
}

/** Holm's correction: p values such that comparing each with a level keeps that level for all together. */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((p, index) => ({ p, index })).sort((a, b) => a.p - b.p);
  const adjusted: number[] = [];
  let highest = 0;
  order.forEach(({ p, index }, rank) => {
    highest = Math.max(highest, Math.min(1, p * (ps.length - rank)));
    adjusted[index] = highest;
  });
  return adjusted;
}
