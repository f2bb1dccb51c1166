/** `npm run matrix -- [options]`: many runs in a fair order; goes on after a failed one, and can be resumed. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { EngineName } from '../../experiments/engines.ts';
import { cellName, matrixCells, matrixOptionsSchema } from '../../experiments/matrix.ts';
import { shardName } from '../../experiments/shard.ts';
import { addPlannedCells } from '../record/planned-cells.ts';
import { readRecordedSet, writeSetTable } from '../record/recorded-sets.ts';
import { runExperiment } from '../run/experiment.ts';
import { timedSteps } from '../run/plan.ts';
import { runIdOf } from '../run/run-folder.ts';
import { type TableLine, matrixTable } from './figures.ts';
import { configurationOf, planText } from './matrix-plan.ts';
import { matrixFailed } from './matrix-status.ts';
import { abortOnSignals } from './interrupt.ts';
import { startLiveView } from './live-view.ts';
import { UsageError, exitCodes, parseOptions } from './options.ts';
import { Progress } from './progress.ts';
import { cellsPlannedBefore, doneRow, refuseOtherRuns, setAside } from './resume.ts';
import { type AtEnd, runCommand } from './run-command.ts';
import { inventoryOf, refuseWhatDoesNotFit, waitForTestbed } from './testbed-options.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** All runs of the set, also those that an earlier matrix with other cells has left there. */
async function writeSet(set: string): Promise<void> {
  await writeSetTable(set, await readRecordedSet(set));
}

async function main(atEnd: AtEnd): Promise<number> {
  const options = parseOptions(
    'matrix',
    'Runs every combination and repeats it.',
    matrixOptionsSchema,
    process.argv.slice(2),
  );
  if (options === undefined) return exitCodes.ok;
  const cells = matrixCells(options);
  const [anyCell] = cells;
  if (anyCell === undefined)
    throw new UsageError(
      `--shard: there is nothing for shard ${options.shard === undefined ? '' : shardName(options.shard)}: a shard has whole blocks (a scenario, memory row and repeat with all engines), and there are fewer blocks than shards`,
    );
  const listed = await inventoryOf(configurationOf(options, anyCell));
  await refuseWhatDoesNotFit(
    cells.map((cell) => ({ name: cellName(cell), configuration: configurationOf(options, cell) })),
    { dryRun: options.dryRun, say },
  );
  if (options.dryRun) {
    console.log(planText(options, cells));
    return exitCodes.ok;
  }
  const owner = ['npm run matrix --', ...process.argv.slice(2)].join(' ');
  const inventory = await waitForTestbed({ testbed: options.testbed, inventory: listed, owner, say }, atEnd);
  const set =
    options.out ??
    path.join('results', `matrix-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}`);
  if (existsSync(set) && !options.resume && options.out !== undefined)
    throw new UsageError(`${set} is there already: add --resume to go on with it, or give another --out`);
  const places = cells.map((cell) => ({
    cell,
    name: cellName(cell),
    folder: path.join(set, cellName(cell)),
    configuration: configurationOf(options, cell),
  }));
  if (options.resume) await refuseOtherRuns(set, places);
  const plannedBefore = await cellsPlannedBefore(set);
  say(planText(options, cells));

  const signal = abortOnSignals(say);
  const view = await startLiveView(options.live, { name: path.basename(path.resolve(set)), set }, say);
  // Nothing is refused any more, and a matrix that is refused changes nothing.
  await addPlannedCells(set, [...plannedBefore, ...cells]);
  const lines: TableLine[] = [];
  /** Engines that the hosts' QEMU does not offer, with its reason: it is asked once. */
  const unavailable = new Map<EngineName, string | undefined>();
  for (const { cell, name, folder, configuration } of places) {
    if (signal.aborted) break;
    const done = options.resume ? await doneRow(folder) : undefined;
    if (done !== undefined) {
      say(`${name}: done before`);
      lines.push({ name, outcome: String(done.outcome), row: done });
      continue;
    }
    if (unavailable.has(cell.engine)) {
      const reason = unavailable.get(cell.engine);
      say(`${name}: skipped: ${reason ?? ''}`);
      lines.push({ name, outcome: 'skipped', reason, row: undefined });
      continue;
    }
    await setAside(folder);
    view.show(folder);
    say(`\n${name} (${lines.length + 1} of ${cells.length})`);
    const progress = new Progress(process.stderr, timedSteps(configuration));
    const { outcome, reason, row } = await runExperiment({
      configuration,
      inventory,
      repeat: cell.repeat,
      shard: options.shard,
      pair: options.pair,
      runId: runIdOf(configuration, cell.repeat, new Date()),
      folder,
      keep: false,
      keepOnFailure: options.keepOnFailure,
      owner,
      signal,
      onEvent: (event) => {
        if (options.json) console.log(JSON.stringify(event));
        else progress.event(event);
      },
      onSample: (sample) => {
        progress.sample(sample);
      },
    });
    say(`${name}: ${outcome}${reason === undefined ? '' : `: ${reason}`}`);
    lines.push({ name, outcome, reason, row });
    if (outcome === 'skipped') {
      unavailable.set(cell.engine, reason);
      // Nothing was measured; the next --resume asks again.
      await rm(folder, { recursive: true });
    }
    if (row !== undefined) await writeSet(set);
    // A lab that was left up for its evidence leaves no room for the next run.
    if (outcome === 'failed' && options.keepOnFailure) break;
  }
  // With --resume the last cells may have been done before.
  if (lines.some(({ row }) => row !== undefined)) await writeSet(set);
  if (options.json) console.log(JSON.stringify({ event: 'result', set, runs: lines }));
  else console.log(`\n${matrixTable(lines)}\n\nrecorded in ${path.resolve(set)}`);
  if (signal.aborted) return exitCodes.interrupted;
  return matrixFailed(lines, cells.length) ? exitCodes.failed : exitCodes.ok;
}

await runCommand('matrix', main);
