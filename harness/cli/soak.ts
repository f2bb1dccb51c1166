/** `npm run soak -- [options]`: random migrations with faults, checked (docs/soak.md). */
import { randomInt } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { seconds as inWords } from '../../foundation/quantity.ts';
import { CodedError } from '../../foundation/coded-error.ts';
import { bundleEngine } from '../../engine/cli/bundle.ts';
import { Keeper } from '../../engine/cli/testing/keeper.ts';
import { findQemu } from '../../qemu/find-qemu.ts';
import { qemuInTree } from '../../qemu/installation.ts';
import { runCampaign, type SoakForm } from '../soak/campaign.ts';
import { aimedPlan, aimedRuns } from '../soak/aimed.ts';
import { dbForm } from '../soak/db-form.ts';
import { earlyPlan, smallPlan } from '../soak/plan.ts';
import { smallForm } from '../soak/small-form.ts';
import { type SoakRow, soakSummary, soakTable } from '../soak/table.ts';
import { abortOnSignals } from './interrupt.ts';
import { waitForRoom } from '../testbed/local/lab-process.ts';
import { exitCodes, parseOptions } from './options.ts';
import { type AtEnd, runCommand } from './run-command.ts';

const integer = (min: number, max: number) =>
  z.coerce.number(`a whole number from ${min} to ${max} is needed`).int().min(min).max(max);
/** Seeds of one campaign follow one another. */
const maxSeed = 2 ** 31 - 1;

const optionsSchema = z.object({
  vm: z
    .enum(['small', 'db'])
    .default('small')
    .describe('small: two QEMUs whose guest is a loop; db: a MariaDB guest under load, in the lab'),
  minutes: z.coerce
    .number('a number of minutes is needed')
    .positive()
    .default(10)
    .describe('start no run after this many minutes'),
  count: integer(1, 1_000_000).optional().describe('end after this many runs'),
  seed: integer(0, maxSeed).optional().describe('seed of the first run; the next run has the next one'),
  only: z.array(integer(0, maxSeed)).optional().describe('run just these seeds'),
  aimed: z
    .boolean()
    .default(false)
    .describe('every fault at every moment of the switchover in turn; the seed is the number of the first'),
  early: z
    .boolean()
    .default(false)
    .describe('early resume (--strategy resume), whose VM moves before its memory'),
  qemu: z
    .array(z.string().min(1))
    .optional()
    .describe('QEMU to run: a Debian package unpacked into this folder'),
  parallel: integer(1, 64).default(Math.max(2, os.availableParallelism())).describe('small runs at a time'),
  out: z.string().min(1).default('results/soak').describe('folder for the rows and for what failed'),
  json: z.boolean().default(false).describe('print a JSON line for each run, and nothing else'),
});

type Options = z.infer<typeof optionsSchema>;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function main(atEnd: AtEnd): Promise<number> {
  const options = parseOptions(
    'soak',
    'Migrates small VMs again and again, breaks something each time, and checks the result.',
    optionsSchema,
    process.argv.slice(2),
  );
  if (options === undefined) return exitCodes.ok;
  const signal = abortOnSignals(say);
  mkdirSync(options.out, { recursive: true });
  const rowsFile = path.join(options.out, 'rows.jsonl');
  const rows: SoakRow[] = [];
  const form = await formOf(options, atEnd, signal);
  await runCampaign(form, {
    seeds: seedsOf(options),
    untilMs: performance.now() + (options.only === undefined ? options.minutes * 60_000 : Infinity),
    out: options.out,
    signal,
    onRow: (row) => {
      rows.push(row);
      appendFileSync(rowsFile, `${JSON.stringify(row)}\n`);
      if (options.json) console.log(JSON.stringify(row));
      else say(progressLine(row, rows.length));
    },
  });
  if (!options.json) console.log(`\n${soakTable(rows)}\n\n${soakSummary(rows)}\n  rows in ${rowsFile}`);
  if (signal.aborted) return exitCodes.interrupted;
  const failed = rows.length === 0 || rows.some(({ end }) => end === 'violated');
  return failed ? exitCodes.failed : exitCodes.ok;
}

function* seedsOf({ only, seed, count, aimed }: Options): Generator<number> {
  if (only !== undefined) {
    yield* only;
    return;
  }
  const first = seed ?? (aimed ? 0 : randomInt(1_000_000_000));
  for (let i = 0; i < (count ?? (aimed ? aimedRuns : Infinity)); i++) yield (first + i) % (maxSeed + 1);
}

async function formOf(options: Options, atEnd: AtEnd, signal: AbortSignal): Promise<SoakForm> {
  if (options.vm === 'db') {
    const unfit = (['aimed', 'early', 'qemu'] as const).find(
      (name) => options[name] !== undefined && options[name] !== false,
    );
    if (unfit !== undefined) throw new CodedError('command', 'usage', `--${unfit} is for --vm small`);
    await waitForRoom(say);
    const owner = ['npm run soak --', ...process.argv.slice(2)].join(' ');
    const form = dbForm({ owner, log: say, signal });
    atEnd(() => form.close());
    return form;
  }
  const qemus = options.qemu?.map((tree) => qemuInTree(tree)) ?? [];
  if (qemus.length === 0) {
    const found = findQemu();
    if (found === undefined)
      throw new CodedError('command', 'usage', 'no QEMU 9 or newer: npm run lab -- prepare, or --qemu TREE');
    qemus.push(found.installation);
  }
  const folder = mkdtempSync(path.join(os.tmpdir(), 'poolshift-soak-'));
  const keeper = Keeper.start({ files: [folder] });
  atEnd(() => {
    rmSync(folder, { recursive: true, force: true });
    keeper.release();
    return Promise.resolve();
  });
  const engineProgram = path.join(folder, 'poolshift-engine.mjs');
  await bundleEngine(engineProgram);
  if (options.aimed && options.early)
    throw new CodedError('command', 'usage', '--aimed and --early are two kinds of runs: give one of them');
  const planOf = options.aimed ? aimedPlan : options.early ? earlyPlan : smallPlan;
  return smallForm({ qemus, engineProgram }, options.parallel, planOf);
}

function progressLine(
  { seed, fault, moment, end, exits, violations, failure, durationMs, reached }: SoakRow,
  count: number,
): string {
  const seconds = inWords(durationMs).padStart(7);
  const head = `${String(count).padStart(5)} ${seconds}  seed ${seed}`;
  if (failure !== undefined) return `${head}  could not be run: ${failure}`;
  const what = [fault, moment].filter((text) => text !== '').join(' ');
  const came = reached || fault === 'none' ? '' : ' (did not come)';
  const wrong = violations.map(({ name, detail }) => `\n        VIOLATED ${name}: ${detail}`).join('');
  return `${head}  ${what}${came}: ${end}, exits ${exits.join(' ')}${wrong}`;
}

await runCommand('soak', main);
