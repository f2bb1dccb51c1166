/** How many repeats of each cell and build would tell a change of the size that was seen. Pure. */
import { probit } from 'simple-statistics';
import { mean, standardDeviation } from '../statistics/spread.ts';
import { changeOf, minPOf, type PairedCell } from './stratified-test.ts';

/** The chance to find the change, if it is as large as was seen. */
const power = 0.9;
/** More than anybody makes; also where the search for the least p ends. */
const maxRepeats = 1000;

/**
 * The larger of two numbers: with how many repeats the permutation test can show anything at all at `level`, and with how many
 * the change stands out from the spread within the cells (two-sample z test; cells whose repeats are too few to have a
 * spread add none, so it is a lower bound then).
 * @param level of this one test, corrected for the number of tests
 */
export function repeatsNeeded(cells: readonly PairedCell[], level: number): number {
  return Math.min(maxRepeats, Math.max(repeatsToTellAny(cells.length, level), forSpread(cells, level)));
}

/** With how many the test can show any change, however large. */
export function repeatsToTellAny(cells: number, level: number): number {
  for (let repeats = 1; repeats < maxRepeats; repeats += 1) {
    const one: PairedCell = { base: Array<number>(repeats).fill(0), next: Array<number>(repeats).fill(0) };
    if (minPOf(Array<PairedCell>(cells).fill(one)) <= level) return repeats;
  }
  return maxRepeats;
}

function forSpread(cells: readonly PairedCell[], level: number): number {
  const changes = cells.map(({ base, next }) => changeOf(mean(base), mean(next)));
  const change = Math.abs(mean(changes));
  if (change === 0) return 1;
  /** Sum over cells of the variance of a run, base and next together, relative to the cell's middle. */
  const variance = cells.reduce((sum, { base, next }) => {
    const middle = (mean(base) + mean(next)) / 2;
    const [ofBase, ofNext] = [base, next].map((values) => (standardDeviation(values) ?? 0) / middle);
    return middle === 0 ? sum : sum + (ofBase ?? 0) ** 2 + (ofNext ?? 0) ** 2;
  }, 0);
  const distance = probit(1 - level / 2) + probit(power);
  return Math.ceil((distance ** 2 * variance) / (cells.length * change) ** 2);
}
