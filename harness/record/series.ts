/** Figures from rows of samples. Pure. */
import type { ClockName, Sample } from './event.ts';

export interface Point {
  readonly atMs: number;
  readonly value: number;
}

/** The samples of one metric of one host, which must be sorted by time. */
export function seriesOf(samples: readonly Sample[], host: ClockName, metric: string): Point[] {
  return samples
    .filter((sample) => sample.metric === metric && sample.host === host)
    .map((sample) => ({ atMs: sample.at_ms, value: sample.value }));
}

/**
 * How much a cumulative counter grew between two times; between samples it is taken to grow evenly. Undefined if the
 * samples do not reach that far.
 */
export function counterIncrease(series: readonly Point[], fromMs: number, toMs: number): number | undefined {
  const from = valueAt(series, fromMs);
  const to = valueAt(series, toMs);
  return from === undefined || to === undefined ? undefined : to - from;
}

/**
 * How much of a process's own counter fell between two times, if it may have started or ended in between: it begins at 0,
 * and what came after its last sample is not known. Undefined without samples in between.
 */
export function processIncrease(series: readonly Point[], fromMs: number, toMs: number): number | undefined {
  const within = series.filter(({ atMs }) => atMs > fromMs && atMs <= toMs);
  const last = within.at(-1);
  if (last === undefined) return undefined;
  return (valueAt(series, toMs) ?? last.value) - (valueAt(series, fromMs) ?? 0);
}

function valueAt(series: readonly Point[], atMs: number): number | undefined {
  const index = series.findIndex((point) => point.atMs >= atMs);
  const after = series[index];
  if (after === undefined || after.atMs === atMs) return after?.value;
  const before = series[index - 1];
  if (before === undefined) return undefined;
  return before.value + ((atMs - before.atMs) / (after.atMs - before.atMs)) * (after.value - before.value);
}

/** A report of sysbench is of the second before it: the middle of that second decides where it belongs. */
const halfSecondMs = 500;

/** Mean of the seconds whose middle is within [fromMs, toMs); undefined if there are none. */
export function meanOfSeconds(series: readonly Point[], fromMs: number, toMs: number): number | undefined {
  const values = series
    .filter(({ atMs }) => atMs - halfSecondMs >= fromMs && atMs - halfSecondMs < toMs)
    .map((point) => point.value);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Each second's mean with its two neighbours, where it has them. */
export function smoothSeconds(series: readonly Point[]): Point[] {
  return series.map(({ atMs }, index) => {
    const near = series.slice(Math.max(0, index - 1), index + 2);
    return { atMs, value: near.reduce((sum, point) => sum + point.value, 0) / near.length };
  });
}
