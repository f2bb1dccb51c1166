/** The events of a run as figures take them: on one clock and relative to the migrate command. Pure. */
import { clockCorrection, type ClockCorrection } from '../../record/clock-correction.ts';
import type { RunEvent as RecordedEvent } from '../../record/event.ts';

export type RunEvent = RecordedEvent & { readonly tMs: number };

interface RelativeEvents {
  /** By time. */
  readonly events: RunEvent[];
  readonly correct: ClockCorrection;
  /** When the migration was commanded, ms since the epoch; undefined before it, when there are no events to draw either. */
  readonly zeroMs: number | undefined;
}

export function relativeEvents(events: readonly RecordedEvent[]): RelativeEvents {
  const correct = clockCorrection(events);
  const zeroMs = events.findLast(({ event }) => event === 'migrate-command')?.at_ms;
  if (zeroMs === undefined) return { events: [], correct, zeroMs };
  return {
    events: events
      // The time of a clock measurement is the harness's already.
      .map((event) => {
        const atMs = event.event === 'clock-offset' ? event.at_ms : correct(event.host, event.at_ms);
        return { ...event, tMs: atMs - zeroMs };
      })
      .sort((a, b) => a.tMs - b.tMs),
    correct,
    zeroMs,
  };
}
