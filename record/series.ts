/** Figures from rows of samples. Pure. */
import type { ClockName, Sample } from './event.ts';

/** A value at a time. All points of one series have one zero: the epoch, or the migrate command. */
export interface Point {
  readonly tMs: number;
  readonly value: number;
}

/** The samples of one metric of one host, which must be sorted by time. */
export function seriesOf(samples: readonly Sample[], host: ClockName, metric: string): Point[] {
  return samples
    .filter((sample) => sample.metric === metric && sample.host === host)
    .map((sample) => ({ tMs: sample.at_ms, value: sample.value }));
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
  const within = series.filter(({ tMs }) => tMs > fromMs && tMs <= toMs);
  const last = within.at(-1);
  if (last === undefined) return undefined;
  return (valueAt(series, toMs) ?? last.value) - (valueAt(series, fromMs) ?? 0);
}

/** Value at a time, taken to change evenly between samples; undefined outside of them. */
export function valueAt(series: readonly Point[], tMs: number): number | undefined {
  const index = series.findIndex((point) => point.tMs >= tMs);
  const after = series[index];
  if (after === undefined || after.tMs === tMs) return after?.value;
  const before = series[index - 1];
  if (before === undefined) return undefined;
  return before.value + ((tMs - before.tMs) / (after.tMs - before.tMs)) * (after.value - before.value);
}

/** A report of sysbench is of the second before it: the middle of that second decides where it belongs. */
const halfSecondMs = 500;

/** The seconds whose middle is within [fromMs, toMs). */
export function within<Second extends { readonly tMs: number }>(
  seconds: readonly Second[],
  fromMs: number,
  toMs: number,
): Second[] {
  return seconds.filter(({ tMs }) => tMs - halfSecondMs >= fromMs && tMs - halfSecondMs < toMs);
}

/** Mean of the seconds in [fromMs, toMs); undefined if there are none. */
export function meanOfSeconds(series: readonly Point[], fromMs: number, toMs: number): number | undefined {
  const values = within(series, fromMs, toMs).map((point) => point.value);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The largest of the seconds in [fromMs, toMs); undefined if there are none. */
export function maxOfSeconds(series: readonly Point[], fromMs: number, toMs: number): number | undefined {
  const values = within(series, fromMs, toMs).map((point) => point.value);
  return values.length === 0 ? undefined : Math.max(...values);
}
