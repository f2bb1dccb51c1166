/** `npm run merge -- SET... --out DIR`: joins the result sets of a matrix's shards. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';
import { counted } from '../../foundation/quantity.ts';
import {
  runNameOf,
  differencesAmong,
  mergedPlan,
  missingCells,
  missingShards,
  repeatedCells,
} from '../../record/sets/merge.ts';
import { readPlannedCells } from '../../record/sets/planned-cells.ts';
import {
  type RunOnDisk,
  readRecordedSet,
  readSetAside,
  writeMergedSet,
} from '../../record/sets/recorded-sets.ts';
import { exitCodes, parseOptions } from './options.ts';
import { runCommand } from './run-command.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const mergeOptionsSchema = z.object({
  sets: z.array(z.string().min(1)).min(1).describe('result sets, as `npm run matrix` makes them'),
  out: z.string('a folder for the merged set is needed').min(1).describe('folder of the merged set'),
  json: z.boolean().default(false).describe('print the result as a JSON line'),
});

/** Has the figures of a run that came to an end. Failed ones are figures of a set, too. */
const isWhole = ({ row }: RunOnDisk): boolean =>
  ['completed', 'not-converged', 'failed'].includes(String(row?.outcome));

async function main(): Promise<number> {
  const options = parseOptions(
    'merge',
    "Joins result sets of a matrix's shards into one.",
    mergeOptionsSchema,
    process.argv.slice(2),
    'sets',
  );
  if (options === undefined) return exitCodes.ok;
  const { out } = options;
  if (existsSync(out)) throw new CodedError('command', 'usage', `${out} exists already: give another --out`);
  const [sets, attempts, plans] = await Promise.all([
    Promise.all(options.sets.map(readRecordedSet)),
    Promise.all(options.sets.map(readSetAside)),
    Promise.all(options.sets.map(readPlannedCells)),
  ]);
  const found = sets.flat();
  if (found.length === 0)
    throw new CodedError('command', 'usage', `there is no run in ${options.sets.join(', ')}`);
  const runs = found.filter(isWhole);
  const leftOut = found.filter((run) => !isWhole(run)).map(({ folder }) => folder);
  const repeated = repeatedCells(runs);
  if (repeated.length > 0)
    throw new CodedError(
      'command',
      'usage',
      `the same cell is there more than once:\n  ${repeated.join('\n  ')}`,
    );
  const differences = differencesAmong(runs);
  if (differences.length > 0)
    throw new CodedError(
      'command',
      'usage',
      `the sets were made with other options or under other conditions:\n  ${differences.join('\n  ')}`,
    );
  const plan = mergedPlan(plans, found);
  await writeMergedSet(out, runs, attempts.flat(), plan);

  const shardsMissing = missingShards(runs);
  const cellsMissing = missingCells(plan, found);
  const failed = runs
    .filter(({ row }) => row?.outcome === 'failed')
    .map(({ manifest }) => runNameOf(manifest));
  for (const folder of leftOut) say(`left out, not finished: ${folder}`);
  for (const shard of shardsMissing) say(`no run of shard ${shard}`);
  for (const name of cellsMissing) say(`planned, no run: ${name}`);
  for (const name of failed) say(`failed: ${name}`);
  if (options.json) {
    const names = runs.map(({ manifest }) => runNameOf(manifest));
    console.log(
      JSON.stringify({
        event: 'result',
        set: out,
        runs: names,
        failed,
        leftOut,
        missingShards: shardsMissing,
        missingCells: cellsMissing,
      }),
    );
  } else
    console.log(
      `${counted(runs.length, 'run')} of ${counted(options.sets.length, 'set')} in ${path.resolve(out)}`,
    );
  const isComplete = [leftOut, shardsMissing, cellsMissing, failed].every(({ length }) => length === 0);
  return isComplete ? exitCodes.ok : exitCodes.failed;
}

await runCommand('merge', main);
