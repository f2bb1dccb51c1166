/** What runs that stand side by side were not alike in, beside their conditions: the machine's speed, and the load before. Pure. */
import { inSeconds } from '../../foundation/quantity.ts';
import type { Run } from './read-set.ts';

/** Runs of one machine on one day differ by less. */
export const steadyShare = 1.5;

/** Seconds before the command that a mean is taken of. */
const beforeSeconds = 30;

/** How long a step of the run took, in ms: booting and warming the pool show how fast the machine is. */
function stepMs({ events }: Run, step: 'boot the source VM' | 'warm the pool'): number | undefined {
  const ended = events.find((event) => event.event === 'step-ended' && event.step === step);
  return ended?.event === 'step-ended' ? ended.duration_ms : undefined;
}

/** "25 to 31" of these; undefined where none is known. */
function secondsRange(values: readonly number[]): string | undefined {
  if (values.length === 0) return undefined;
  const [low, high] = [Math.min(...values), Math.max(...values)].map((ms) => inSeconds(ms, 0));
  return low === high ? low : `${low ?? ''} to ${high ?? ''}`;
}

/** Whether the machine was not equally fast for all runs: boots, or warm-ups of one memory row, differ by more than 1.5 times. */
export function isSpeedUneven(runs: readonly Run[]): boolean {
  const differ = (values: readonly number[]): boolean =>
    values.length > 1 && Math.max(...values) > steadyShare * Math.min(...values);
  const warmUps = [...Map.groupBy(runs, ({ row }) => row.paper_row_gib).values()];
  return (
    differ(runs.flatMap((run) => stepMs(run, 'boot the source VM') ?? [])) ||
    warmUps.some((ofRow) => differ(ofRow.flatMap((run) => stepMs(run, 'warm the pool') ?? [])))
  );
}

/** Boots by memory row: "25 to 31 s (4 GiB), 18 s (24 GiB)". */
export function bootsByRow(runs: readonly Run[]): string {
  return [...Map.groupBy(runs, ({ row }) => row.paper_row_gib)]
    .sort(([a], [b]) => a - b)
    .flatMap(([gib, ofRow]) => {
      const range = secondsRange(ofRow.flatMap((run) => stepMs(run, 'boot the source VM') ?? []));
      return range === undefined ? [] : [`${range} s (${gib} GiB)`];
    })
    .join(', ');
}

/** Whether the server completed less than it was offered before the migration: its queue, and not the method, is what latency shows. */
export function isOverloadedBefore({ row }: Run): boolean {
  const { rate_reached: isReached, rate_tps: rate, tps_before: before } = row;
  if (isReached !== undefined) return !isReached;
  if (rate === undefined || rate === 0 || before === undefined) return false;
  // Older sets did not count what was offered: less by two standard deviations of arrivals at random.
  return before < rate - 2 * Math.sqrt(rate / beforeSeconds);
}

/** Cells of one load and memory row whose throughput before the migration differs by more than a quarter. */
export function unlikeBefore(runs: readonly Run[]): Run[][] {
  const loaded = runs.filter(({ row }) => (row.tps_before ?? 0) > 0);
  return [...Map.groupBy(loaded, ({ row }) => `${row.scenario} ${row.paper_row_gib}`).values()].filter(
    (alike) => {
      const values = alike.map(({ row }) => row.tps_before ?? 0);
      return Math.max(...values) > 1.25 * Math.min(...values);
    },
  );
}
