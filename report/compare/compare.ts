/** The regression gate: two sets of runs of the same cells, metric by metric. Pure. */
import { cellsOf, enginesOf, type Cell } from '../record/cells.ts';
import type { Run, RunSet } from '../record/read-set.ts';
import { seededRandom } from '../statistics/seeded-random.ts';
import { mean } from '../statistics/spread.ts';
import { metrics, type Metric } from './metrics.ts';
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
  /** What was seen would matter if it were real, and so few repeats cannot tell. */
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
  /** 95 %. */
  readonly interval: readonly [low: number, high: number] | undefined;
  readonly cliffsDelta: number;
  /** Corrected for the number of findings (Holm). */
  readonly p: number;
}

export interface Comparison {
  readonly findings: readonly Finding[];
  /** Cells that only one of the sets has, as "rw 16 GiB restore". */
  readonly unpaired: readonly string[];
}

const seed = 1;

export function compareSets(base: Pick<RunSet, 'runs'>, next: Pick<RunSet, 'runs'>): Comparison {
  const baseCells = cellsOf(base);
  const nextCells = cellsOf(next);
  const engines = enginesOf({ runs: [...base.runs, ...next.runs] });
  const tested = engines.flatMap((engine) =>
    metrics.flatMap((metric) => {
      const cells = pairedCells(engine, metric, baseCells, nextCells);
      // Where nothing moved at all (every run finished, in both), there is nothing to test.
      const values = new Set(cells.flatMap((cell) => [...cell.base, ...cell.next]));
      if (values.size < 2) return [];
      // Each test begins with the same seed, so that its result does not depend on which others there are.
      return [{ engine, metric, cells, ...permutationTest(cells, seededRandom(seed)) }];
    }),
  );
  const corrected = holm(tested.map(({ p }) => p));
  const findings = tested.map(({ engine, metric, cells, minP }, index): Finding => {
    const p = corrected[index] ?? 1;
    const [before, after] = [
      mean(cells.map((cell) => mean(cell.base))),
      mean(cells.map((cell) => mean(cell.next))),
    ];
    const change = relativeChange(cells);
    const matters = Math.abs(change) >= metric.minimumChange && Math.abs(after - before) > metric.noiseFloor;
    const couldTell = minP * tested.length <= significanceLevel;
    return {
      metric: metric.name,
      unit: metric.unit,
      engine,
      kind: kindOf({ matters, couldTell, isSure: p <= significanceLevel, isMore: change > 0 }),
      cells: cells.length,
      runs: {
        base: cells.reduce((sum, cell) => sum + cell.base.length, 0),
        next: cells.reduce((sum, cell) => sum + cell.next.length, 0),
      },
      base: before,
      next: after,
      change,
      interval: bootstrapInterval(cells, seededRandom(seed)),
      cliffsDelta: cliffsDelta(cells),
      p,
    };
  });
  return { findings, unpaired: unpairedCells(baseCells, nextCells) };
}

interface Judged {
  readonly matters: boolean;
  readonly couldTell: boolean;
  readonly isSure: boolean;
  readonly isMore: boolean;
}

function kindOf({ matters, couldTell, isSure, isMore }: Judged): FindingKind {
  if (matters && isSure) return isMore ? 'regression' : 'improvement';
  // A metric in which nothing moved is no reason to ask for more runs, unless no number of them could have shown it.
  return matters || !couldTell ? 'too-few-samples' : 'no-change';
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

function unpairedCells(baseCells: readonly Cell[], nextCells: readonly Cell[]): string[] {
  const [inBase, inNext] = [baseCells, nextCells].map((cells) =>
    cells.filter(({ runs }) => runs.length > 0).map(nameOf),
  ) as [string[], string[]];
  return [
    ...inBase.filter((name) => !inNext.includes(name)),
    ...inNext.filter((name) => !inBase.includes(name)),
  ];
}
