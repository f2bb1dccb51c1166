/** Writes runs to disk as the harness would, for tests of the commands. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { sampleSchema } from '../../record/event.ts';
import { runFiles } from '../../record/read-run.ts';
import { writeSamplesFile } from '../../record/samples-file.ts';
import type { RunSet } from '../record/read-set.ts';

export async function writeSet(folder: string, { runs }: Pick<RunSet, 'runs'>): Promise<void> {
  for (const { name, row, manifest, events, series } of runs) {
    const runFolder = path.join(folder, name);
    await mkdir(runFolder, { recursive: true });
    const write = (file: string, text: string) => writeFile(path.join(runFolder, file), text);
    await write(runFiles.row, stringify([row], { header: true, cast: { boolean: String } }));
    await write(runFiles.manifest, JSON.stringify(manifest));
    const startMs = Date.parse(manifest.startedAt);
    const lines = events.map(({ tMs, ...event }) => JSON.stringify({ ...event, at_ms: startMs + tMs }));
    await write(runFiles.events, lines.map((line) => `${line}\n`).join(''));
    const samples = [...series].flatMap(([key, points]) => {
      const [host, metric] = key.split(' ');
      return points.map(({ tMs, value }) =>
        sampleSchema.parse({ at_ms: startMs + tMs, host, metric, value }),
      );
    });
    await writeSamplesFile(path.join(runFolder, runFiles.samples), samples);
  }
}
