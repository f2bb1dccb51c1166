/** The events of a run that figures are made from, on one clock and relative to the migrate command. Pure. */
import { z } from 'zod';

const when = { at_ms: z.number(), host: z.string().default('harness') };

const eventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('migrate-command'), ...when }),
  z.object({ event: z.literal('qmp'), ...when, name: z.string() }),
  z.object({ event: z.literal('migration-status'), ...when, status: z.string() }),
  z.object({
    event: z.literal('engine'),
    ...when,
    name: z.string(),
    fields: z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])),
  }),
  z.object({ event: z.literal('clock-offset'), ...when, offset_ms: z.number() }),
  z.object({ event: z.literal('run-ended'), ...when, reason: z.string().optional() }),
]);

type RecordedEvent = z.output<typeof eventSchema>;
export type RunEvent = RecordedEvent & { readonly tMs: number };

const kinds: ReadonlySet<unknown> = new Set(eventSchema.options.map((option) => option.shape.event.value));

/**
 * Other kinds of events are passed over, and so is a last line that a crash cut short. The offset of a host's clock is
 * taken as constant, as measured last: good to some ms, which is enough to draw. Figures in runs.csv are corrected more
 * closely by the harness.
 * @throws ZodError, SyntaxError
 */
export function parseEvents(text: string): RunEvent[] {
  const lines = text.split('\n').slice(0, -1);
  const { events, zeroMs } = relativeEvents(lines.map((line): unknown => JSON.parse(line)));
  return zeroMs === undefined ? [] : events;
}

export interface RelativeEvents {
  readonly events: RunEvent[];
  /** By how much each host's clock is ahead, ms. */
  readonly offsets: ReadonlyMap<string, number>;
  /** When the migration was commanded, ms since the epoch; undefined before it, when there are no events to draw either. */
  readonly zeroMs: number | undefined;
}

/** @throws ZodError */
export function relativeEvents(values: readonly unknown[]): RelativeEvents {
  const events = values
    .filter((value) => kinds.has((value as { event?: unknown }).event))
    .map((value) => eventSchema.parse(value));
  const zeroMs = events.findLast(({ event }) => event === 'migrate-command')?.at_ms;
  const offsets = new Map<string, number>();
  for (const event of events) if (event.event === 'clock-offset') offsets.set(event.host, event.offset_ms);
  if (zeroMs === undefined) return { events: [], offsets, zeroMs };
  return {
    events: events
      .map((event) => ({ ...event, tMs: event.at_ms - (offsets.get(event.host) ?? 0) - zeroMs }))
      .sort((a, b) => a.tMs - b.tMs),
    offsets,
    zeroMs,
  };
}
