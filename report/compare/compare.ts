/** The regression gate: two sets of runs of the same cells, metric by metric. Pure. */
import { counted } from '../../foundation/quantity.ts';
import { cellsOf, enginesOf, firstVmsOf, type Cell } from '../record/cells.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { seededRandom } from '../statistics/seeded-random.ts';
import { mean } from '../statistics/spread.ts';
import { metrics, type Metric } from './metrics.ts';
import { repeatsNeeded, repeatsToTellAny } from './repeats-needed.ts';
import {
  bootstrapInterval,
  cliffsDelta,
  holm,
  permutationTest,
  relativeChange,
  type PairedCell,
} from './stratified-test.ts';

/** Level of the whole comparison: the chance to cry wolf over a build that did not change. */
export const significanceLevel = 0.05;

export type FindingKind =
  | 'regression'
  | 'improvement'
  | 'no-change'
  /** A change that would matter, no larger than repeats of one build differ. */
  | 'within-noise'
  /** So few repeats could not have shown any change. */
  | 'too-few-samples';

/** Of the whole comparison. */
export type Verdict =
  | 'no-regression'
  | 'regression'
  /** A change was seen that would matter, and the repeats are too few to tell; or they are too few for every metric. */
  | 'too-few-samples';

export interface Finding {
  readonly metric: string;
  readonly unit: string;
  readonly engine: string;
  readonly kind: FindingKind;
  readonly cells: number;
  readonly runs: { readonly base: number; readonly next: number };
  /** Means over the cells, in the metric's unit. */
  readonly base: number;
  readonly next: number;
  /** next / base - 1, every cell weighing alike. */
  readonly change: number;
  /** Whether a change of this size is of interest: at least the metric's minimum, and above its noise floor. */
  readonly matters: boolean;
  /** 95 %. */
  readonly interval: readonly [low: number, high: number] | undefined;
  readonly cliffsDelta: number;
  /** Corrected for the number of findings (Holm). */
  readonly p: number;
  /**
   * Repeats of each cell and build that would tell a change of this size; with which any could be told, where it matters little.
   * Undefined where it is told.
   */
  readonly repeatsNeeded: number | undefined;
}

export interface Comparison {
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** Cells that this set has runs of, and the other has not, as "rw 16 GiB restore". */
  readonly unpaired: OfBoth<readonly string[]>;
  /**
   * Runs that did what no build may do even once, as "rw-16-restore-r1: 3 commits lost". More of them in the new set, of any method,
   * are a regression.
   */
  readonly damaged: OfBoth<readonly string[]>;
  /** Names of the runs that failed; one that was made again has those of its attempts (`*.failed-1`). */
  readonly failed: OfBoth<readonly string[]>;
  /** Runs that are in no number, of any method. */
  readonly leftOut: OfBoth<RunSet['leftOut']>;
}

interface OfBoth<Value> {
  readonly base: Value;
  readonly next: Value;
}

/** What to compare: all that there is where a list is left out. */
export interface Selection {
  /** Names of `metrics`. */
  readonly metrics?: readonly string[] | undefined;
  readonly engines?: readonly string[] | undefined;
  /** Cells of the base that the other set has not may be missing. Default false: then there is no telling. */
  readonly allowMissing?: boolean;
}

const seed = 1;

type Compared = Pick<RunSet, 'runs'> & Partial<Pick<RunSet, 'leftOut'>>;

export function compareSets(base: Compared, next: Compared, selection: Selection = {}): Comparison {
  const engines = enginesOf({ runs: [...base.runs, ...next.runs] }).filter(
    (engine) => selection.engines?.includes(engine) ?? true,
  );
  // Two VMs that were moved at once are no two repeats.
  const measuredCells = ({ runs }: Compared): Cell[] =>
    cellsOf({ runs: firstVmsOf(runs) }).filter(
      (cell) => cell.runs.length > 0 && engines.includes(cell.engine),
    );
  const baseCells = measuredCells(base);
  const nextCells = measuredCells(next);
  const compared = engines.flatMap((engine) =>
    metrics
      .filter(({ name }) => selection.metrics?.includes(name) ?? true)
      .flatMap((metric) => {
        const cells = pairedCells(engine, metric, baseCells, nextCells);
        return cells.length === 0 ? [] : [{ engine, metric, cells, moved: !cells.every(sameValues) }];
      }),
  );
  // Each test begins with the same seed, so that its result does not depend on which others there are.
  const tested = compared
    .filter(({ moved }) => moved)
    .map((one) => ({ ...one, ...permutationTest(one.cells, seededRandom(seed)) }));
  const corrected = holm(tested.map(({ p }) => p));
  const findings = compared.map(({ engine, metric, cells }): Finding => {
    const index = tested.findIndex((one) => one.cells === cells);
    const p = corrected[index] ?? 1;
    const [before, after] = [
      mean(cells.map((cell) => mean(cell.base))),
      mean(cells.map((cell) => mean(cell.next))),
    ];
    const change = relativeChange(cells);
    const matters = Math.abs(change) >= metric.minimumChange && Math.abs(after - before) > metric.noiseFloor;
    const minP = tested[index]?.minP ?? 0;
    const couldTell = minP * tested.length <= significanceLevel;
    const kind = kindOf({ matters, couldTell, isSure: p <= significanceLevel, isMore: change > 0 });
    return {
      metric: metric.name,
      unit: metric.unit,
      engine,
      kind,
      cells: cells.length,
      runs: {
        base: cells.reduce((sum, cell) => sum + cell.base.length, 0),
        next: cells.reduce((sum, cell) => sum + cell.next.length, 0),
      },
      base: before,
      next: after,
      change,
      matters,
      interval: bootstrapInterval(cells, seededRandom(seed)),
      cliffsDelta: cliffsDelta(cells),
      p,
      repeatsNeeded: neededFor({ cells, kind, matters, level: significanceLevel / tested.length }),
    };
  });
  const missing = unpairedOf(baseCells, nextCells);
  const damagedBy = (engine: string): OfBoth<readonly string[]> => ({
    base: damagedOf(base.runs, engine),
    next: damagedOf(next.runs, engine),
  });
  const damages = engines.map(damagedBy);
  const isDamage = damages.some((ofEngine) => ofEngine.next.length > ofEngine.base.length);
  const verdict = isDamage ? 'regression' : verdictOf(findings);
  return {
    // A build that ends its runs, or their harness, has none to compare.
    verdict:
      verdict === 'no-regression' && missing.length > 0 && selection.allowMissing !== true
        ? 'too-few-samples'
        : verdict,
    findings,
    damaged: {
      base: damages.flatMap((ofEngine) => ofEngine.base),
      next: damages.flatMap((ofEngine) => ofEngine.next),
    },
    unpaired: { base: missing, next: unpairedOf(nextCells, baseCells) },
    failed: { base: failedOf(baseCells), next: failedOf(nextCells) },
    leftOut: { base: base.leftOut ?? [], next: next.leftOut ?? [] },
  };
}

interface Untold {
  readonly cells: readonly PairedCell[];
  readonly kind: FindingKind;
  readonly matters: boolean;
  /** Of this one test. */
  readonly level: number;
}

/** A change that matters little is not to be told, and it would take any number of repeats. */
function neededFor({ cells, kind, matters, level }: Untold): number | undefined {
  if (kind !== 'too-few-samples' && kind !== 'within-noise') return undefined;
  return matters ? repeatsNeeded(cells, level) : repeatsToTellAny(cells.length, level);
}

/** Whether nothing moved: each value is there as often in both, as in a set compared with itself, or all are one. */
function sameValues({ base, next }: PairedCell): boolean {
  const sorted = (values: readonly number[]): string => [...values].sort((a, b) => a - b).join();
  return sorted(base) === sorted(next) || new Set([...base, ...next]).size === 1;
}

interface Judged {
  readonly matters: boolean;
  readonly couldTell: boolean;
  readonly isSure: boolean;
  readonly isMore: boolean;
}

function kindOf({ matters, couldTell, isSure, isMore }: Judged): FindingKind {
  if (!couldTell) return 'too-few-samples';
  if (!matters) return 'no-change';
  if (!isSure) return 'within-noise';
  return isMore ? 'regression' : 'improvement';
}

function verdictOf(findings: readonly Finding[]): Verdict {
  if (findings.some(({ kind }) => kind === 'regression')) return 'regression';
  const couldNotTell = findings.filter(({ kind }) => kind === 'too-few-samples');
  return couldNotTell.some(({ matters }) => matters) || couldNotTell.length === findings.length
    ? 'too-few-samples'
    : 'no-regression';
}

function pairedCells(
  engine: string,
  { value }: Metric,
  baseCells: readonly Cell[],
  nextCells: readonly Cell[],
): PairedCell[] {
  return baseCells
    .filter((cell) => cell.engine === engine)
    .flatMap((cell) => {
      const other = nextCells.find((candidate) => nameOf(candidate) === nameOf(cell));
      const base = figures(cell.runs, value);
      const next = figures(other?.runs ?? [], value);
      return base.length > 0 && next.length > 0 ? [{ base, next }] : [];
    });
}

const figures = (runs: readonly Run[], value: Metric['value']): number[] =>
  runs.flatMap(({ row }) => value(row) ?? []);

const nameOf = ({ scenario, paperRowGib, engine }: Cell): string =>
  `${scenario} ${paperRowGib} GiB ${engine}`;

/** No statistics are asked of these: a commit lost, a page that differs, a table that is not in order. */
function damagedOf(runs: readonly Run[], engine: string): string[] {
  return runs.flatMap(({ name, row }) => {
    const { ledger_lost: lost = 0, ram_pages_differing: differing = 0, tables_ok: isInOrder = true } = row;
    const damage = [
      ...(lost > 0 ? [`${counted(lost, 'commit')} lost`] : []),
      ...(differing > 0 ? [`${counted(differing, 'page')} ${differing === 1 ? 'differs' : 'differ'}`] : []),
      ...(isInOrder ? [] : ['tables not in order']),
    ];
    return row.engine === engine && damage.length > 0 ? [`${name}: ${damage.join(', ')}`] : [];
  });
}

const failedOf = (cells: readonly Cell[]): string[] =>
  cells.flatMap(({ runs }) => runs.filter(({ row }) => row.outcome === 'failed').map(({ name }) => name));

const unpairedOf = (cells: readonly Cell[], others: readonly Cell[]): string[] =>
  cells.map(nameOf).filter((name) => !others.some((other) => nameOf(other) === name));
