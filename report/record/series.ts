/** Samples of a run over time, and what is derived from them for drawing. Pure. */
import type { Sample } from '../../record/event.ts';
import { valueAt, type Point } from '../../record/series.ts';

/** Points by "host metric". */
export type SeriesByName = ReadonlyMap<string, readonly Point[]>;

/** Metrics that no figure uses are left out: they are most of the file. */
const wanted =
  /^(ram_(remaining|total)_bytes|ram_(zero|normal)_pages|dirty_(sync_count|pages_per_second)|nic_(in|out)_bytes:(migration|storage)|tps|queued_transactions|latency_p95_ms|cpu_percent|engine_rss_bytes|engine_pages_\w+)$/;

export const isWantedMetric = (metric: string): boolean => wanted.test(metric);

/** @param zeroMs becomes t = 0 */
export function seriesByName(samples: readonly Sample[], zeroMs: number): SeriesByName {
  return new Map(
    [...Map.groupBy(samples, ({ host, metric }) => `${host} ${metric}`)].map(([name, ofSeries]) => [
      name,
      ofSeries.map(({ at_ms, value }) => ({ tMs: at_ms - zeroMs, value })),
    ]),
  );
}

/** Mean growth per second of a cumulative counter in each interval [t, t + binMs), stamped with the interval's middle. */
export function ratePerSecond(
  points: readonly Point[],
  fromMs: number,
  toMs: number,
  binMs: number,
): Point[] {
  const rates: Point[] = [];
  for (let tMs = fromMs; tMs + binMs <= toMs; tMs += binMs) {
    const from = valueAt(points, tMs);
    const to = valueAt(points, tMs + binMs);
    if (from === undefined || to === undefined) continue;
    rates.push({ tMs: tMs + binMs / 2, value: ((to - from) * 1000) / binMs });
  }
  return rates;
}

/** Each point's mean with its neighbours within `windowMs` around it. */
export function smooth(points: readonly Point[], windowMs: number): Point[] {
  return points.map(({ tMs }) => {
    const near = points.filter((point) => Math.abs(point.tMs - tMs) <= windowMs / 2);
    return { tMs, value: near.reduce((sum, point) => sum + point.value, 0) / near.length };
  });
}

/** At most about `count` points: evenly chosen, with the first and the last. */
export function thin(points: readonly Point[], count: number): Point[] {
  const step = Math.ceil(points.length / count);
  return points.filter((_, index) => index % step === 0 || index === points.length - 1);
}
