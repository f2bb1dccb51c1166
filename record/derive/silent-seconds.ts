/** Seconds in which sysbench did not run, because it had lost its server and was started again. Pure. */
import type { RunEvent, Sample } from '../event.ts';

const secondMs = 1000;

/**
 * The samples with `tps` 0 for each second between sysbench's end and its first report after a new start: nobody was
 * served in it. The raw files do not have them. Both lists must be sorted by time, and so is the result.
 */
export function fillSilentSeconds(
  events: readonly RunEvent[],
  samples: readonly Sample[],
): readonly Sample[] {
  const reports = samples.filter((sample) => sample.metric === 'tps');
  const silent = new Map<number, Sample>();
  for (const ended of events.filter((event) => event.event === 'workload-ended')) {
    const last = reports.findLast(({ host, at_ms }) => host === ended.host && at_ms <= ended.at_ms);
    const next = reports.find(({ host, at_ms }) => host === ended.host && at_ms > ended.at_ms);
    // Not started again, or not before it had begun: nothing is known of those seconds.
    if (last === undefined || next === undefined) continue;
    // A report is of the second before it.
    const untilMs = next.at_ms - secondMs;
    for (let at_ms = last.at_ms + secondMs; at_ms <= untilMs; at_ms += secondMs)
      silent.set(at_ms, { at_ms, host: last.host, metric: 'tps', value: 0 });
  }
  return silent.size === 0 ? samples : [...samples, ...silent.values()].sort((a, b) => a.at_ms - b.at_ms);
}
