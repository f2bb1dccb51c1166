import { smoothSeconds, type Point } from '../series.ts';

const recoveredShare = 0.9;
const stayMs = 5000;

export interface RecoveryInput {
  /** sysbench's transactions per second, sorted by time; each point is of the second that ends then. */
  readonly tps: readonly Point[];
  /** Where the seconds before the migration begin that `tpsBefore` is the mean of. */
  readonly beforeFromMs: number;
  readonly tpsBefore: number;
  readonly commandMs: number;
  /** When the migration ended. */
  readonly endMs: number;
}

/**
 * Time from the migrate command until throughput is back, in ms; 0 if it never fell, undefined if it did not come back
 * within the record.
 *
 * Throughput is smoothed over three seconds. It counts as low below 90 % of `tpsBefore`, or below the lowest smoothed
 * value before the command where that is less: a load of few transactions per second varies by more than 10 % by itself.
 * It is back at the end of the last low second after which it is not low for 5 s, and not before 5 s after the
 * migration's end either, so that the time before the first dip does not count as recovery.
 */
export function tpsRecoveryMs(input: RecoveryInput): number | undefined {
  const { tps, commandMs, endMs, beforeFromMs, tpsBefore } = input;
  const smoothed = smoothSeconds(tps);
  // Smoothed apart, so that the first seconds after the command have no part in what is usual.
  const usual = smoothSeconds(tps.filter(({ tMs }) => tMs >= beforeFromMs && tMs < commandMs));
  const threshold = Math.min(recoveredShare * tpsBefore, ...usual.map((point) => point.value));

  let backMs = commandMs;
  for (const { tMs, value } of smoothed) {
    if (tMs < commandMs) continue;
    if (value < threshold) backMs = tMs;
    else if (tMs >= Math.max(backMs, endMs) + stayMs) return backMs - commandMs;
  }
  return undefined;
}
