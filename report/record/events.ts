/** The events of a run as figures take them: on one clock and relative to the migrate command. Pure. */
import { clockCorrection, type ClockCorrection } from '../../record/clock-correction.ts';
import { runEventSchema, type RunEvent as RecordedEvent } from '../../record/event.ts';

export type RunEvent = RecordedEvent & { readonly tMs: number };

const kinds: ReadonlySet<unknown> = new Set(runEventSchema.options.map((option) => option.shape.event.value));

/**
 * Kinds of events that are not known here are passed over, and so is a last line that a crash cut short.
 * @throws ZodError, SyntaxError
 */
export function parseEvents(text: string): RunEvent[] {
  const lines = text.split('\n').slice(0, -1);
  return relativeEvents(lines.map((line): unknown => JSON.parse(line))).events;
}

export interface RelativeEvents {
  /** By time. */
  readonly events: RunEvent[];
  readonly correct: ClockCorrection;
  /** When the migration was commanded, ms since the epoch; undefined before it, when there are no events to draw either. */
  readonly zeroMs: number | undefined;
}

/** @throws ZodError */
export function relativeEvents(values: readonly unknown[]): RelativeEvents {
  const events = values
    .filter((value) => kinds.has((value as { event?: unknown }).event))
    .map((value) => runEventSchema.parse(value));
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
