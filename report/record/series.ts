/** Samples of a run over time, and what is derived from them for drawing. Pure. */
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { valueAt, type Point } from '../../record/series.ts';

/** Points by "host metric". */
export type SeriesByName = ReadonlyMap<string, readonly Point[]>;

const sampleSchema = z.object({
  t_ms: z.coerce.number(),
  host: z.string(),
  metric: z.string(),
  value: z.coerce.number(),
});

/** Metrics that no figure uses are left out: they are most of the file. */
const wanted =
  /^(ram_(remaining|total)_bytes|ram_(zero|normal)_pages|dirty_sync_count|nic_(in|out)_bytes:(migration|storage)|tps|latency_p95_ms|engine_pages_\w+)$/;

export const isWantedMetric = (metric: string): boolean => wanted.test(metric);

/** @throws ZodError, CsvError */
export function parseSamplesCsv(text: string): SeriesByName {
  const series = new Map<string, Point[]>();
  const rows = parse(text, {
    columns: true,
    skip_empty_lines: true,
    onRecord: (row: { metric?: string }) => (isWantedMetric(row.metric ?? '') ? row : undefined),
  });
  for (const row of rows) {
    const { host, metric, t_ms, value } = sampleSchema.parse(row);
    const name = `${host} ${metric}`;
    const points = series.get(name) ?? [];
    if (points.length === 0) series.set(name, points);
    points.push({ tMs: t_ms, value });
  }
  return series;
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
