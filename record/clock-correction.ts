/** Brings times of all hosts to the harness's clock, from the clock-offset events of the run. Pure. */
import type { ClockName, RunEvent } from './event.ts';

interface Measured {
  readonly hostMs: number;
  readonly offsetMs: number;
}

/** A function from a time on a host's clock to the same moment on the harness's. */
export type ClockCorrection = (host: ClockName, hostMs: number) => number;

/**
 * Between two measurements the offset is taken as linear (clocks drift by some ms a minute at worst); outside of them
 * it stays as it was measured last. A host whose clock was never measured is taken to be right.
 */
export function clockCorrection(events: readonly RunEvent[]): ClockCorrection {
  const byHost = new Map<ClockName, Measured[]>();
  for (const event of events) {
    if (event.event !== 'clock-offset') continue;
    const measured = byHost.get(event.host) ?? [];
    measured.push({ hostMs: event.at_ms + event.offset_ms, offsetMs: event.offset_ms });
    byHost.set(event.host, measured);
  }
  for (const measured of byHost.values()) measured.sort((a, b) => a.hostMs - b.hostMs);
  return (host, hostMs) => hostMs - offsetAt(byHost.get(host) ?? [], hostMs);
}

function offsetAt(measured: readonly Measured[], hostMs: number): number {
  let before: Measured | undefined;
  for (const after of measured) {
    if (after.hostMs >= hostMs) {
      if (before === undefined) return after.offsetMs;
      const share = (hostMs - before.hostMs) / (after.hostMs - before.hostMs);
      return before.offsetMs + share * (after.offsetMs - before.offsetMs);
    }
    before = after;
  }
  return before?.offsetMs ?? 0;
}
