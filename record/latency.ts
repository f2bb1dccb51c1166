/** Latencies as a histogram: how many transactions took how long. Pure. */
import type { Sample } from './event.ts';

/** So many transactions of about that latency: sysbench's buckets are 1.8 % wide. */
export interface Latency {
  readonly ms: number;
  readonly transactions: number;
}

export const percentiles = [50, 95, 99] as const;
export type Percentile = (typeof percentiles)[number];

/** The latency that so many percent of the transactions did not exceed; undefined of none. */
export function percentileMs(latencies: readonly Latency[], percent: number): number | undefined {
  const sorted = latencies.filter(({ transactions }) => transactions > 0).sort((a, b) => a.ms - b.ms);
  const total = sorted.reduce((sum, { transactions }) => sum + transactions, 0);
  let left = Math.ceil((total * percent) / 100);
  for (const { ms, transactions } of sorted) {
    left -= transactions;
    if (left <= 0) return ms;
  }
  return undefined;
}

/** Latencies of the transactions of one second. */
interface SecondOfLatencies {
  /** Its end. */
  readonly tMs: number;
  readonly latencies: Latency[];
}

/**
 * The histograms of each second, from the samples `latency_ms` and `latency_transactions` of one host: the two of one
 * bucket stand at the same place of the two series.
 */
export function latenciesBySecond(samples: readonly Sample[]): SecondOfLatencies[] {
  const counts = samples.filter(({ metric }) => metric === 'latency_transactions');
  const seconds: SecondOfLatencies[] = [];
  for (const [index, { at_ms, value }] of samples.filter(({ metric }) => metric === 'latency_ms').entries()) {
    const latency = { ms: value, transactions: counts[index]?.value ?? 0 };
    const last = seconds.at(-1);
    if (last?.tMs === at_ms) last.latencies.push(latency);
    else seconds.push({ tMs: at_ms, latencies: [latency] });
  }
  return seconds;
}
