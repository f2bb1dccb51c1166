/** `npm run derive -- DIR...`: makes the tables of recorded runs again from their raw files. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { counted } from '../../foundation/quantity.ts';
import { derive, deriveSamplesTable } from '../../record/derive/derive.ts';
import { type RunOnDisk, readRunFolders, writeSetTable } from '../../record/sets/recorded-sets.ts';
import type { RunRow } from '../../record/run-columns.ts';
import { exitCodes, parseOptions } from './options.ts';
import { runCommand } from './run-command.ts';

const deriveOptionsSchema = z.object({
  folders: z.array(z.string().min(1)).min(1).describe('result folders, or sets of them'),
});

async function deriveRun(folder: string): Promise<RunRow> {
  const row = await derive(folder);
  await deriveSamplesTable(folder);
  return row;
}

/** A set's own table as well. Returns how many runs there were. @throws CodedError 'record' */
async function deriveFolder(folder: string): Promise<number> {
  if (existsSync(path.join(folder, 'manifest.json'))) {
    await deriveRun(folder);
    return 1;
  }
  const runs: RunOnDisk[] = [];
  for (const run of await readRunFolders(folder)) runs.push({ ...run, row: await deriveRun(run.folder) });
  await writeSetTable(folder, runs);
  return runs.length;
}

async function main(): Promise<number> {
  const options = parseOptions(
    'derive',
    'Makes runs.csv and samples.csv (one sample per line) again from what was recorded.',
    deriveOptionsSchema,
    process.argv.slice(2),
    'folders',
  );
  if (options === undefined) return exitCodes.ok;
  for (const folder of options.folders) {
    const runs = await deriveFolder(folder);
    console.log(`${folder}: ${counted(runs, 'run')}`);
  }
  return exitCodes.ok;
}

await runCommand('derive', main);
