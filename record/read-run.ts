/** Reads a result folder back, with all times on the harness's clock. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { z } from 'zod';
import { CodedError } from '../foundation/coded-error.ts';
import { clockCorrection } from './clock-correction.ts';
import { runEventSchema, sampleSchema, type RunEvent, type Sample } from './event.ts';
import { readManifest, type Manifest } from './manifest.ts';
import { readSamplesFile } from './samples-file.ts';
import { readStored } from './stored-file.ts';

/** Of a result folder. Raw ones are written while a run goes on; `samples` takes the place of `rawSamples` at its end. */
export const runFiles = {
  manifest: 'manifest.json',
  events: 'events.jsonl',
  rawSamples: 'samples.jsonl',
  samples: 'samples.parquet',
  row: 'runs.csv',
  /** Derived for those who ask for it; nothing here reads it. */
  samplesTable: 'samples.csv',
} as const;

export interface RunRecord {
  /** The folder's: in a set the cell's, elsewhere the run's own. */
  readonly name: string;
  readonly manifest: Manifest;
  /** By time. `at_ms` is on the harness's clock, whichever host an event is of. */
  readonly events: readonly RunEvent[];
  /** By time, on the harness's clock. */
  readonly samples: readonly Sample[];
}

type IsWanted = (metric: string) => boolean;

const kinds: ReadonlySet<string> = new Set(runEventSchema.options.map((option) => option.shape.event.value));
const kindSchema = z.looseObject({ event: z.string() });

/** Undefined for a kind of event that is not known here: a later version wrote it. @throws ZodError */
export function parseEvent(value: unknown): RunEvent | undefined {
  return kinds.has(kindSchema.parse(value).event) ? runEventSchema.parse(value) : undefined;
}

/**
 * Values of a JSON Lines text. What follows the last line end is a line that a crash cut short: it is left out.
 * @throws CodedError 'record' `not-readable`, with the line's number
 */
function parseJsonLines<Value>(text: string, parse: (value: unknown) => Value, name: string): Value[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, index) => {
      try {
        return parse(JSON.parse(line));
      } catch (error) {
        throw new CodedError('record', 'not-readable', `${name}, line ${index + 1} is not one of ours`, {
          cause: error,
        });
      }
    });
}

async function readJsonLines<Value>(
  file: string,
  parse: (value: unknown) => Value,
): Promise<Value[] | undefined> {
  const text = await readStored(file).catch((error: unknown) => {
    throw new CodedError('record', 'not-readable', `cannot read ${file}`, { cause: error });
  });
  return text === undefined ? undefined : parseJsonLines(text, parse, file);
}

/** The table that has a run's row: its own, or its set's; neither need be there. */
export function rowFileOf(folder: string): string {
  const own = path.join(folder, runFiles.row);
  const isOwn = [own, `${own}.gz`].some((file) => existsSync(file));
  return isOwn ? own : path.join(path.dirname(path.resolve(folder)), runFiles.row);
}

/**
 * The table with a run's row: its own; of a committed set, whose runs have none, that line of the set's. Undefined while there
 * is no row.
 * @throws where a file is not as described
 */
export async function readRowText(folder: string): Promise<string | undefined> {
  const file = rowFileOf(folder);
  const text = await readStored(file);
  if (text === undefined || file === path.join(folder, runFiles.row)) return text;
  // A row may also be of another run by that name, which was made before.
  const manifest = await readFile(path.join(folder, runFiles.manifest), 'utf8');
  const { startedAt } = z.looseObject({ startedAt: z.string() }).parse(JSON.parse(manifest));
  const name = path.basename(path.resolve(folder));
  const rows = parse<Readonly<Record<string, string>>>(text, { bom: true, columns: true });
  const row = rows.find(({ run_id, started_at }) => run_id === name && started_at === startedAt);
  return row && stringify([row], { header: true });
}

/** As recorded: by each host's clock. Undefined if there is no such file. @throws CodedError 'record' `not-readable` */
export async function readEvents(folder: string): Promise<RunEvent[] | undefined> {
  const events = await readJsonLines(path.join(folder, runFiles.events), parseEvent);
  return events?.filter((event) => event !== undefined);
}

/** As recorded: by each host's clock. Undefined if there is no file of them. @throws CodedError 'record' `not-readable` */
export async function readSamples(
  folder: string,
  isWanted: IsWanted = () => true,
): Promise<Sample[] | undefined> {
  const file = path.join(folder, runFiles.samples);
  const readPacked = async (): Promise<Sample[] | undefined> => {
    if (!existsSync(file)) return undefined;
    return readSamplesFile(file, isWanted).catch((error: unknown) => {
      throw new CodedError('record', 'not-readable', `${file} is not a file of samples`, { cause: error });
    });
  };
  const readRaw = async (): Promise<Sample[] | undefined> =>
    (await readRawSamples(folder))?.filter(({ metric }) => isWanted(metric));
  // Raw ones that are gone were packed meanwhile.
  return (await readPacked()) ?? (await readRaw()) ?? readPacked();
}

/** As they were written while the run went on. Undefined if there is no file of them. @throws CodedError 'record' `not-readable` */
export async function readRawSamples(folder: string): Promise<Sample[] | undefined> {
  return readJsonLines(path.join(folder, runFiles.rawSamples), (value) => sampleSchema.parse(value));
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

/** @throws CodedError 'record' `not-readable`, also where one of the files is missing */
export async function readRun(folder: string, isWanted?: IsWanted): Promise<RunRecord> {
  const manifest = await readManifest(folder);
  const events = await readEvents(folder);
  if (events === undefined) throw missing(folder, runFiles.events);
  const samples = await readSamples(folder, isWanted);
  if (samples === undefined) throw missing(folder, `${runFiles.samples}, nor ${runFiles.rawSamples}`);
  return { name: path.basename(path.resolve(folder)), manifest, ...onOneClock(events, samples) };
}

function missing(folder: string, name: string): CodedError<'record'> {
  return new CodedError('record', 'not-readable', `cannot read ${folder}: it has no ${name}`);
}
