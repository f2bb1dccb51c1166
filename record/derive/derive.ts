import { existsSync } from 'node:fs';
import path from 'node:path';
import { writeRunsCsv, writeSamplesCsv } from '../csv.ts';
import { type RunRecord, readRun } from '../read-run.ts';
import type { RunRow } from '../run-columns.ts';
import { fillSilentSeconds } from './silent-seconds.ts';
import { summarize } from './summary.ts';
import { timelineOf } from './timeline.ts';

/** The row of runs.csv that a run's raw files give. Writes nothing. @throws RecordError `not-readable` */
export async function deriveRow(folder: string): Promise<RunRow> {
  return summarize(await readDerivable(folder));
}

async function readDerivable(folder: string): Promise<RunRecord> {
  const raw = await readRun(folder);
  return { ...raw, samples: fillSilentSeconds(raw.events, raw.samples) };
}

/**
 * Makes runs.csv and samples.csv of a result folder from its raw files, again if need be, also after a crash. Without a
 * migrate command, times count from the first event. Where the raw samples are compressed, so is their table.
 * @throws RecordError `not-readable`
 */
export async function derive(folder: string): Promise<RunRow> {
  const record = await readDerivable(folder);
  const { manifest, events, samples } = record;
  const row = summarize(record);
  const zeroMs = timelineOf(events)?.commandMs ?? events[0]?.at_ms ?? Date.parse(manifest.startedAt);
  await writeSamplesCsv(path.join(folder, 'samples.csv'), {
    runId: manifest.runId,
    zeroMs,
    samples,
    compressed: !existsSync(path.join(folder, 'samples.jsonl')),
  });
  await writeRunsCsv(path.join(folder, 'runs.csv'), [row]);
  return row;
}
