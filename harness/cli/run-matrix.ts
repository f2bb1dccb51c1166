/** Runs of a matrix, one after the other, into one set: for `npm run matrix` and `npm run reproduce`. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import type { EngineName } from '../../experiments/engines.ts';
import {
  type MatrixRun,
  type MatrixOptions,
  runName,
  configurationOf,
  matrixRuns,
} from '../../experiments/matrix.ts';
import { shardName } from '../../experiments/shard.ts';
import { foldersOfVms } from '../../record/run-vms.ts';
import { addPlannedCells } from '../../record/sets/planned-cells.ts';
import { readRecordedSet, writeSetTable } from '../../record/sets/recorded-sets.ts';
import { runExperiment } from '../run/experiment.ts';
import { timedSteps } from '../run/plan.ts';
import { runIdOf } from '../run/run-id.ts';
import { stayQueued } from '../testbed/lab-wait.ts';
import type { Inventory } from '../testbed/inventory/schema.ts';
import { matrixFailed, type TableLine } from './figures.ts';
import { abortOnSignals } from './interrupt.ts';
import { type LiveView, startLiveView } from './live-view.ts';
import { planText } from './matrix-plan.ts';
import { checkOut } from './out-folder.ts';
import { runOutput } from './progress.ts';
import { holdSet } from './set-lock.ts';
import { cellsPlannedBefore, doneRow, refuseOtherRuns, setAside } from './resume.ts';
import type { AtEnd } from './run-command.ts';
import { inventoryOf, refuseWhatDoesNotFit, waitForTestbed } from './testbed-options.ts';

interface PlannedMatrix {
  readonly options: MatrixOptions;
  readonly cells: readonly MatrixRun[];
  /** Of `--testbed inventory`. */
  readonly inventory: Inventory | undefined;
}

/** Works out what is to be run, and changes nothing. @throws CodedError 'command', 'usage', CodedError 'inventory', 'invalid' */
export async function planMatrix(
  options: MatrixOptions,
  say: (line: string) => void,
): Promise<PlannedMatrix> {
  const cells = matrixRuns(options);
  const [anyCell] = cells;
  if (anyCell === undefined)
    throw new CodedError(
      'command',
      'usage',
      `--shard: there is nothing for shard ${options.shard === undefined ? '' : shardName(options.shard)}: a shard has whole blocks (a scenario, memory row and repeat with all methods), and there are fewer blocks than shards`,
    );
  const inventory = await inventoryOf(configurationOf(options, anyCell));
  await refuseWhatDoesNotFit(
    cells.map((cell) => ({ name: runName(cell), configuration: configurationOf(options, cell) })),
    { dryRun: options.dryRun, say },
  );
  return { options, cells, inventory };
}

interface MatrixUse {
  /** Folder of the set. */
  readonly set: string;
  /** Unless it is gone on with; false where an earlier matrix of this command has made it. */
  readonly isNew: boolean;
  /** What the user ran, for the message that others get. */
  readonly owner: string;
  readonly say: (line: string) => void;
}

interface MatrixResult {
  /** A run a line, in order; fewer than planned where it was stopped. */
  readonly lines: readonly TableLine[];
  readonly interrupted: boolean;
  /** A run failed, or was never reached. */
  readonly failed: boolean;
}

/**
 * Goes on after a failed run, and stops in good order at Ctrl-C.
 * @throws CodedError 'command', 'usage', CodedError 'lab', CodedError 'inventory', 'invalid', CodedError 'vagrant' before anything has been changed; CodedError 'record'
 */
export async function runMatrix(
  { options, cells, inventory: listed }: PlannedMatrix,
  { set, isNew, owner, say }: MatrixUse,
  atEnd: AtEnd,
): Promise<MatrixResult> {
  checkOut(set);
  if (existsSync(set) && !options.resume && isNew)
    throw new CodedError(
      'command',
      'usage',
      `${set} exists already: add --resume to go on with it, or give another --out`,
    );
  const places = cells.map((cell) => ({
    cell,
    name: runName(cell),
    folder: path.join(set, runName(cell)),
    configuration: configurationOf(options, cell),
  }));
  // Until its own end: a recipe's next matrix may be of the same set, and at the same port.
  const lock = await holdSet(set);
  const over = new AbortController();
  let view: LiveView | undefined;
  try {
    if (options.resume) await refuseOtherRuns(set, places);
    const plannedBefore = await cellsPlannedBefore(set);
    const inventory = await waitForTestbed(
      { testbed: options.testbed, inventory: listed, owner, say },
      atEnd,
    );
    say(planText(options, cells));

    const signal = abortOnSignals(say, over.signal);
    view = await startLiveView(options.live, { name: path.basename(path.resolve(set)), set }, say);
    // Nothing is refused any more, and a matrix that is refused changes nothing.
    await addPlannedCells(set, [...plannedBefore, ...cells]);
    const lines: TableLine[] = [];
    /** Engines that the hosts' QEMU does not offer, with its reason: it is asked once. */
    const unavailable = new Map<EngineName, string | undefined>();
    for (const { cell, name, folder, configuration } of places) {
      if (signal.aborted) break;
      const done = options.resume ? await doneRow(folder) : undefined;
      if (done !== undefined) {
        say(`${name}: already done`);
        lines.push({ name, outcome: String(done.outcome), row: done });
        continue;
      }
      if (unavailable.has(cell.engine)) {
        const reason = unavailable.get(cell.engine);
        say(`${name}: skipped: ${reason ?? ''}`);
        lines.push({ name, outcome: 'skipped', reason, row: undefined });
        continue;
      }
      await setAside(foldersOfVms(folder, configuration.vms ?? 1));
      view.show(folder);
      say(`\n${name} (${lines.length + 1} of ${cells.length})`);
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
        ...runOutput(options.json, timedSteps(configuration)),
      });
      stayQueued();
      say(`${name}: ${outcome}${reason === undefined ? '' : `: ${reason}`}`);
      lines.push({ name, outcome, reason, row });
      if (outcome === 'skipped') {
        unavailable.set(cell.engine, reason);
        // Nothing was measured; the next --resume asks again.
        for (const own of foldersOfVms(folder, configuration.vms ?? 1)) await rm(own, { recursive: true });
      }
      if (row !== undefined) await writeSet(set);
      // A lab that was left up for its evidence leaves no room for the next run.
      if (outcome === 'failed' && options.keepOnFailure) break;
    }
    // With --resume the last cells may have been done before.
    if (lines.some(({ row }) => row !== undefined)) await writeSet(set);
    return { lines, interrupted: signal.aborted, failed: matrixFailed(lines, cells.length) };
  } finally {
    await view?.close();
    over.abort();
    await lock.release();
  }
}

/** All runs of the set, also those that an earlier matrix with other cells has left there. */
async function writeSet(set: string): Promise<void> {
  await writeSetTable(set, await readRecordedSet(set));
}
