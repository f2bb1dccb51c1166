import path from 'node:path';
import { writeRunsCsv, writeSamplesCsv } from './csv.ts';
import { readRun } from './read-run.ts';
import type { RunRow } from './run-columns.ts';
import { fillSilentSeconds } from './silent-seconds.ts';
import { summarize } from './summary.ts';
import { timelineOf } from './timeline.ts';

/**
 * Makes runs.csv and samples.csv of a result folder from its raw files, again if need be, also after a crash. Without a
 * migrate command, times count from the first event.
 * @throws RecordError `not-readable`
 */
export async function derive(folder: string): Promise<RunRow> {
  const raw = await readRun(folder);
  const record = { ...raw, samples: fillSilentSeconds(raw.events, raw.samples) };
  const { manifest, events, samples } = record;
  const row = summarize(record);
  const zeroMs = timelineOf(events)?.commandMs ?? events[0]?.at_ms ?? Date.parse(manifest.startedAt);
  await writeSamplesCsv(path.join(folder, 'samples.csv'), manifest.runId, zeroMs, samples);
  await writeRunsCsv(path.join(folder, 'runs.csv'), [row]);
  return row;
}
