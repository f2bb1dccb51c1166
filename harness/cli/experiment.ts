/** `npm run experiment -- [options]`: one cell of the paper's matrix, from nothing to a table and a result folder. */
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { mebibytes } from '../../foundation/quantity.ts';
import {
  linkRatesOf,
  type Options,
  optionsSchema,
  resolveConfiguration,
} from '../../experiments/configuration.ts';
import { engines } from '../../experiments/engines.ts';
import { linkRatesText } from '../../experiments/link-rates.ts';
import { scenarios } from '../../experiments/scenarios.ts';
import { type ExperimentResult, runExperiment } from '../run/experiment.ts';
import { expectedSeconds, expectedSteps, timedSteps } from '../run/plan.ts';
import { runIdOf } from '../run/run-id.ts';
import { runTable } from './figures.ts';
import { abortOnSignals } from './interrupt.ts';
import { startLiveView } from './live-view.ts';
import { exitCodes, parseOptions } from './options.ts';
import { checkOut } from './out-folder.ts';
import { runOutput } from './progress.ts';
import { type AtEnd, runCommand } from './run-command.ts';
import { inventoryOf, refuseWhatDoesNotFit, waitForTestbed } from './testbed-options.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

function planText(options: Options): string {
  const configuration = resolveConfiguration(options);
  const underKvm = expectedSteps(configuration, 'kvm');
  const minutes = (accelerator: 'tcg' | 'kvm'): string =>
    (expectedSeconds(configuration, accelerator) / 60).toFixed(1);
  const column = (text: string): string => text.padStart(9);
  return [
    `scenario ${configuration.scenario}: ${scenarios[configuration.scenario].title}`,
    `method ${configuration.engine}: ${engines[configuration.engine].title}`,
    `${configuration.vms === undefined ? 'VM' : `${configuration.vms} VMs of`} ${mebibytes(configuration.vmMemoryBytes)}, buffer pool ${mebibytes(configuration.bufferPoolBytes)} (requested ${mebibytes(configuration.bufferPoolAskedBytes)}), tables ${mebibytes(configuration.tableDataBytes)} (requested ${mebibytes(configuration.poolInUseAskedBytes)}), links ${linkRatesText(linkRatesOf(configuration))}, ${configuration.dbms}`,
    `  ${'expected'.padEnd(26)}${column('TCG')}${column('KVM')}`,
    ...expectedSteps(configuration, 'tcg').map(
      ({ name, durationSeconds }, index) =>
        `  ${name.padEnd(26)}${column(`${durationSeconds.toFixed(0)} s`)}${column(`${underKvm[index]?.durationSeconds.toFixed(0) ?? ''} s`)}`,
    ),
    `expected: ${options.repeat} x ${minutes('tcg')} min under TCG, ${minutes('kvm')} min with KVM, plus one-time preparation (a few minutes)`,
  ].join('\n');
}

async function main(atEnd: AtEnd): Promise<number> {
  const options = parseOptions(
    'experiment',
    'Migrates a running database VM and records what happens.',
    optionsSchema,
    process.argv.slice(2),
  );
  if (options === undefined) return exitCodes.ok;
  if (options.keep && options.repeat > 1)
    throw new CodedError(
      'command',
      'usage',
      `--keep leaves the VM where the next run needs its hosts: leave out --repeat ${options.repeat}`,
    );
  checkOut(options.out);
  const configuration = resolveConfiguration(options);
  const listed = await inventoryOf(configuration);
  if (options.dryRun) {
    if (options.json) console.log(JSON.stringify(configuration));
    else console.log(planText(options));
    await refuseWhatDoesNotFit([{ name: '', configuration }], { dryRun: true, say });
    return exitCodes.ok;
  }
  await refuseWhatDoesNotFit([{ name: '', configuration }], { dryRun: false, say });
  const owner = ['npm run experiment --', ...process.argv.slice(2)].join(' ');
  const inventory = await waitForTestbed({ testbed: options.testbed, inventory: listed, owner, say }, atEnd);
  say(planText(options));
  const signal = abortOnSignals(say);
  const output = runOutput(options.json, timedSteps(configuration));
  const view = await startLiveView(options.live, { name: path.basename(path.resolve(options.out)) }, say);
  let failed = false;
  let skipped = false;
  for (let repeat = 1; repeat <= options.repeat && !signal.aborted && !skipped; repeat += 1) {
    const runId = runIdOf(configuration, repeat, new Date());
    const folder = path.join(options.out, runId);
    view.show(folder);
    const result = await runExperiment({
      configuration,
      inventory,
      repeat,
      runId,
      folder,
      keep: options.keep,
      keepOnFailure: options.keepOnFailure,
      owner,
      signal,
      ...output,
    });
    report(result, options.json);
    failed ||= result.outcome === 'failed';
    skipped = result.outcome === 'skipped';
    // What is kept for its evidence leaves no room for the next one.
    if (failed && options.keepOnFailure) break;
  }
  if (signal.aborted) return exitCodes.interrupted;
  // These hosts cannot run it, as a machine that is too small cannot.
  if (skipped) return exitCodes.usage;
  return failed ? exitCodes.failed : exitCodes.ok;
}

function report({ vms, outcome, reason }: ExperimentResult, json: boolean): void {
  if (!json) console.log(`\n${outcome}${reason === undefined ? '' : `: ${reason}`}`);
  for (const { folder, row } of vms) {
    if (json) console.log(JSON.stringify({ event: 'result', outcome, reason, folder, row }));
    else {
      if (row !== undefined) console.log(runTable(row));
      console.log(`  recorded in ${folder}`);
    }
  }
}

await runCommand('experiment', main);
