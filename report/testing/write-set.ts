/** Writes runs to disk as the harness would, for tests of the commands. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'csv-stringify/sync';
import type { RunSet } from '../record/read-set.ts';

export async function writeSet(folder: string, { runs }: Pick<RunSet, 'runs'>): Promise<void> {
  for (const { name, row, manifest, series } of runs) {
    const runFolder = path.join(folder, name);
    await mkdir(runFolder, { recursive: true });
    const cast = { boolean: String };
    await writeFile(path.join(runFolder, 'runs.csv'), stringify([row], { header: true, cast }));
    await writeFile(path.join(runFolder, 'manifest.json'), JSON.stringify(manifest));
    const samples = [...series].flatMap(([key, points]) => {
      const [host, metric] = key.split(' ');
      return points.map(({ tMs, value }) => ({ run_id: row.run_id, t_ms: tMs, host, metric, value }));
    });
    await writeFile(path.join(runFolder, 'samples.csv'), stringify(samples, { header: true }));
  }
}
