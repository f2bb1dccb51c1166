/** Reads a result folder back, with all times on the harness's clock. */
import path from 'node:path';
import type { z } from 'zod';
import { clockCorrection } from './clock-correction.ts';
import { runEventSchema, sampleSchema, type RunEvent, type Sample } from './event.ts';
import { readManifest, type Manifest } from './manifest.ts';
import { RecordError } from './record-error.ts';
import { readStored } from './stored-file.ts';

export interface RunRecord {
  readonly manifest: Manifest;
  /** By time. `at_ms` is on the harness's clock, whichever host an event is of. */
  readonly events: readonly RunEvent[];
  /** By time, on the harness's clock. */
  readonly samples: readonly Sample[];
}

/**
 * Values of a JSON Lines text. What follows the last line end is a line that a crash cut short: it is left out.
 * @throws RecordError `not-readable`, with the line's number
 */
export function parseJsonLines<Value>(text: string, schema: z.ZodType<Value>, name: string): Value[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, index) => {
      try {
        return schema.parse(JSON.parse(line));
      } catch (error) {
        throw new RecordError('not-readable', `${name}, line ${index + 1} is not one of ours`, {
          cause: error,
        });
      }
    });
}

/** Corrects the clocks and sorts by time. Pure. */
export function onOneClock(
  rawEvents: readonly RunEvent[],
  rawSamples: readonly Sample[],
): Pick<RunRecord, 'events' | 'samples'> {
  const correct = clockCorrection(rawEvents);
  const byTime = (a: { at_ms: number }, b: { at_ms: number }): number => a.at_ms - b.at_ms;
  const events = rawEvents.map((event) =>
    // The time of a clock measurement is the harness's already.
    event.event === 'clock-offset' ? event : { ...event, at_ms: correct(event.host, event.at_ms) },
  );
  const samples = rawSamples.map((sample) => ({ ...sample, at_ms: correct(sample.host, sample.at_ms) }));
  return { events: events.sort(byTime), samples: samples.sort(byTime) };
}

/** Raw files may be compressed. @throws RecordError `not-readable` */
export async function readRun(folder: string): Promise<RunRecord> {
  const read = async <Value>(name: string, schema: z.ZodType<Value>): Promise<Value[]> => {
    const file = path.join(folder, name);
    const text = await readStored(file).catch((error: unknown) => {
      throw new RecordError('not-readable', `cannot read ${file}`, { cause: error });
    });
    if (text === undefined)
      throw new RecordError('not-readable', `cannot read ${file}: there is no such file, nor a .gz of it`);
    return parseJsonLines(text, schema, file);
  };
  const manifest = await readManifest(folder);
  const events = await read('events.jsonl', runEventSchema);
  const samples = await read('samples.jsonl', sampleSchema);
  return { manifest, ...onOneClock(events, samples) };
}
