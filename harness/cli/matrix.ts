/** `npm run matrix -- [options]`: many runs in a fair order; goes on after a failed one, and can be resumed. */
import { rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import type { EngineName } from '../../experiments/engines.ts';
import {
  type Cell,
  type MatrixOptions,
  cellName,
  matrixCells,
  matrixOptionsSchema,
} from '../../experiments/matrix.ts';
import { shardName } from '../../experiments/shard.ts';
import { derive } from '../record/derive.ts';
import { readManifest } from '../record/manifest.ts';
import { readRecordedSet, writeSetTable } from '../record/recorded-sets.ts';
import type { RunRow } from '../record/run-columns.ts';
import { runExperiment } from '../run/experiment.ts';
import { expectedSeconds, timedSteps } from '../run/plan.ts';
import { runIdOf } from '../run/run-folder.ts';
import { type TableLine, matrixTable } from './figures.ts';
import { matrixFailed } from './matrix-status.ts';
import { abortOnSignals } from './interrupt.ts';
import { startLiveView } from './live-view.ts';
import { UsageError, exitCodes, parseOptions } from './options.ts';
import { Progress } from './progress.ts';
import { type AtEnd, runCommand } from './run-command.ts';
import { inventoryOf, refuseWhatDoesNotFit, waitForTestbed } from './testbed-options.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** A cell's configuration is that of `npm run experiment` with the matrix's options and the cell's own three. */
function configurationOf(options: MatrixOptions, { scenario, mem, engine }: Cell) {
  return resolveConfiguration({
    ...optionsSchema.parse({}),
    ...options,
    scenario,
    mem,
    engine,
    repeat: 1,
    out: '',
  });
}

/**
 * The figures of a cell that is done. A run that failed or was interrupted is not done; one that did not converge is.
 * @throws UsageError if the folder holds a run with other options
 */
async function doneRow(folder: string, options: MatrixOptions, cell: Cell): Promise<RunRow | undefined> {
  if (!existsSync(path.join(folder, 'manifest.json'))) return undefined;
  const { configuration } = await readManifest(folder);
  if (JSON.stringify(configuration) !== JSON.stringify(configurationOf(options, cell)))
    throw new UsageError(
      `${folder} holds a run with other options; give another --out, or the options that it was made with`,
    );
  const row = await derive(folder).catch(() => undefined);
  return row?.outcome === 'completed' || row?.outcome === 'not-converged' ? row : undefined;
}

/** Keeps the evidence of a run that failed before, out of the way of the next attempt. */
async function setAside(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  let attempt = 1;
  while (existsSync(`${folder}.failed-${attempt}`)) attempt += 1;
  await rename(folder, `${folder}.failed-${attempt}`);
}

/** All runs of the set, also those that an earlier matrix with other cells has left there. */
async function writeSet(set: string): Promise<void> {
  await writeSetTable(set, await readRecordedSet(set));
}

function planText(options: MatrixOptions, cells: readonly Cell[]): string {
  const configurations = cells.map((cell) => configurationOf(options, cell));
  const minutes = (accelerator: 'tcg' | 'kvm') =>
    configurations.map((configuration) => expectedSeconds(configuration, accelerator) / 60);
  const [underTcg, underKvm] = [minutes('tcg'), minutes('kvm')];
  const lines = cells.map(
    (cell, index) =>
      `  ${cellName(cell).padEnd(24)} ${(underTcg[index] ?? 0).toFixed(1)} min (KVM: ${(underKvm[index] ?? 0).toFixed(1)})`,
  );
  const total = (values: readonly number[]): string =>
    values.reduce((sum, value) => sum + value, 0).toFixed(0);
  const part = options.shard === undefined ? '' : ` of shard ${shardName(options.shard)}`;
  return [
    `${cells.length} runs${part}:`,
    ...lines,
    `expected: ${total(underTcg)} min under TCG, ${total(underKvm)} min with KVM`,
  ].join('\n');
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
  say(planText(options, cells));

  const signal = abortOnSignals(say);
  const view = await startLiveView(options.live, path.basename(path.resolve(set)), say);
  const lines: TableLine[] = [];
  /** Engines that the hosts' QEMU does not offer, with its reason: it is asked once. */
  const unavailable = new Map<EngineName, string | undefined>();
  for (const cell of cells) {
    if (signal.aborted) break;
    const name = cellName(cell);
    const folder = path.join(set, name);
    const done = options.resume ? await doneRow(folder, options, cell) : undefined;
    if (done !== undefined) {
      say(`${name}: done before`);
      view.show(folder);
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
    const configuration = configurationOf(options, cell);
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
