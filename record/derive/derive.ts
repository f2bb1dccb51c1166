import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { writeRunsCsv, writeSamplesCsv } from '../csv.ts';
import { readEvents, readRawSamples, readRun, runFiles, type RunRecord } from '../read-run.ts';
import { foldersOfOthers } from '../run-vms.ts';
import { isRunFolder } from '../sets/run-folders.ts';
import type { RunRow } from '../run-columns.ts';
import { readSamplesFile, writeSamplesFile } from '../samples-file.ts';
import { fillSilentSeconds } from './silent-seconds.ts';
import { summarize } from './summary.ts';
import { timelineOf } from './timeline.ts';
import { vmColumns } from './vms.ts';

/** The row of runs.csv that a run's raw files give. Writes nothing. @throws CodedError 'record' `not-readable` */
export async function deriveRow(folder: string): Promise<RunRow> {
  const record = await readDerivable(folder);
  return { ...summarize(record), ...vmColumns(record, await readOthers(folder, record)) };
}

/** The records of the other VMs of a run; of those that are there. @throws CodedError 'record' `not-readable` */
async function readOthers(folder: string, { manifest }: RunRecord): Promise<readonly RunRecord[]> {
  const { vm = 0, configuration } = manifest;
  const others = foldersOfOthers(folder, vm, configuration.vms ?? 1).filter(isRunFolder);
  return Promise.all(others.map((other) => readRun(other)));
}

async function readDerivable(folder: string): Promise<RunRecord> {
  const raw = await readRun(folder);
  return { ...raw, samples: fillSilentSeconds(raw.events, raw.samples) };
}

/**
 * Makes runs.csv of a result folder, again if need be, also after a crash; a run that has ended gets its samples into the
 * file that they are kept in.
 * @throws CodedError 'record' `not-readable`
 */
export async function derive(folder: string): Promise<RunRow> {
  await packSamples(folder);
  const row = await deriveRow(folder);
  await writeRunsCsv(path.join(folder, runFiles.row), [row]);
  return row;
}

/**
 * samples.jsonl becomes samples.parquet. Without the event of the run's end it stays: the harness may be writing it still.
 * @throws CodedError 'record' `not-readable`
 */
async function packSamples(folder: string): Promise<void> {
  const packed = path.join(folder, runFiles.samples);
  const raw = path.join(folder, runFiles.rawSamples);
  if (![raw, `${raw}.gz`].some((file) => existsSync(file))) return;
  // What stands beside its raw file may be the rest of a crash: the raw one goes where the other is whole.
  const isPacked =
    existsSync(packed) &&
    (await readSamplesFile(packed).then(
      () => true,
      () => false,
    ));
  if (!isPacked) {
    const events = await readEvents(folder);
    if (!(events ?? []).some(({ event }) => event === 'run-ended')) return;
    const samples = await readRawSamples(folder);
    // Another command has packed them meanwhile.
    if (samples === undefined) return;
    await writeSamplesFile(packed, samples);
  }
  for (const file of [raw, `${raw}.gz`]) await rm(file, { force: true });
}

/**
 * Makes samples.csv: every sample in a line, with its time relative to the migrate command; without one, to the first event.
 * @throws CodedError 'record' `not-readable`
 */
export async function deriveSamplesTable(folder: string): Promise<void> {
  const { name, manifest, events, samples } = await readDerivable(folder);
  const zeroMs = timelineOf(events)?.commandMs ?? events[0]?.at_ms ?? Date.parse(manifest.startedAt);
  const file = path.join(folder, runFiles.samplesTable);
  await writeSamplesCsv(file, { runId: name, zeroMs, samples });
  // Older folders have it compressed.
  await rm(`${file}.gz`, { force: true });
}
