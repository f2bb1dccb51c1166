/** How fast a guest dirtied its memory while it migrated. Pure. */
import { median } from 'simple-statistics';
import type { Run } from './read-set.ts';

const pageBytes = 4096;

/** Bytes of pages in a second: the median of what QEMU counted from pass to pass. Undefined where no pass ended. */
export function dirtyBytesPerSecondOf({ row, series }: Pick<Run, 'row' | 'series'>): number | undefined {
  const endMs = row.total_time_ms ?? Number.POSITIVE_INFINITY;
  const rates = (series.get('src dirty_pages_per_second') ?? [])
    .filter(({ tMs, value }) => tMs >= 0 && tMs <= endMs && value > 0)
    .map(({ value }) => value);
  return rates.length === 0 ? undefined : median(rates) * pageBytes;
}

/** The same over the configured rate of the migration link. */
export function dirtyShareOf(run: Pick<Run, 'row' | 'series'>): number | undefined {
  const rate = dirtyBytesPerSecondOf(run);
  return rate === undefined ? undefined : (8 * rate) / run.row.link_bits_per_second;
}
