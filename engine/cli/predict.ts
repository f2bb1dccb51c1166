/** `npm run predict`: how long migrations would take on machines that one does not have (docs/predict.md). */
import { Command, CommanderError, Option } from 'commander';
import { inMegabytes, inSeconds, percent } from '../../foundation/quantity.ts';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { watchStandardOutput } from '../../foundation/standard-output.ts';
import { helpSettings } from '../../foundation/command-help.ts';
import { isRunFolder, runFoldersOf } from '../../record/sets/run-folders.ts';
import { whatIsWrong } from '../../record/what-is-wrong.ts';
import { constantRate } from '../simulation/link.ts';
import { type MeasuredRun, readMeasuredRun } from '../simulation/measured-run.ts';
import {
  agedShares,
  compressors,
  defaultSetup,
  type Setup,
  type SimulatedMigration,
  zstdBytesPerSecondPerCore,
} from '../simulation/migration.ts';
import { modelErrors, modelErrorTable } from '../simulation/model-error.ts';
import { notSimulated, simulate, type SimulatedEngine, simulatedEngines } from '../simulation/simulate.ts';
import { bitsPerSecond, bytes, number, share } from './arguments.ts';

/** What the program's exit code means. */
const exitCode = { predicted: 0, unwritten: 1, usage: 2 } as const;

/** Of what is simulated: a VM of a few pages has no passes, and one of more does not fit into memory. */
const gib = { min: 0.0625, max: 1024 } as const;

/** What is left of a link for TCP payload: 119.5 of 125 Mbit/s, as measured. */
const payloadShare = 0.956;

interface Arguments {
  readonly mem?: number;
  readonly linkRate: number;
  readonly migrationRate?: number;
  readonly storageRate?: number;
  readonly scale: number;
  readonly dirtyRate: number;
  readonly hot: number;
  readonly compression: number;
  readonly guest: 'fresh' | 'aged';
  readonly zero?: number;
  readonly listed?: number;
  readonly zstdRate: number;
  readonly compressors: number;
  readonly targetRate: number;
  readonly cores?: number;
  readonly placing: boolean;
  readonly listLatency: number;
  readonly downtimeLimit: number;
  readonly beforeSwitch: number;
  readonly against?: readonly string[];
  readonly json?: true;
}

interface Prediction extends SimulatedMigration {
  readonly engine: SimulatedEngine;
}

const { guest } = defaultSetup;
const [fresh, aged] = [guest, agedShares].map(({ zeroShare, listedShare }) => `${zeroShare}, ${listedShare}`);
const program: Command = new Command('predict')
  .configureHelp(helpSettings)
  .description('Predicts migrations of a database VM by simulating them with the schedule of the engine.')
  .option('--mem <GiB>', 'memory of the VM', number(gib.min))
  .option('--link-rate <rate>', 'rate of both links', bitsPerSecond, 1e9)
  .option('--migration-rate <rate>', 'rate of the migration link (default: as --link-rate)', bitsPerSecond)
  .option('--storage-rate <rate>', 'rate at which storage is read (default: as --link-rate)', bitsPerSecond)
  .option('--scale <n>', 'divides memory and link rates, as in the lab', number(1), 1)
  .option('--dirty-rate <bytes>', 'bytes of pages that the guest writes in a second', bytes, 0)
  .option('--hot <share>', 'share of used memory that it writes', share, guest.hotShare)
  .addOption(
    new Option('--guest <kind>', 'what memory holds: the defaults of --zero and --listed')
      .choices(['fresh', 'aged'])
      .default('fresh'),
  )
  .option('--zero <share>', 'share of memory that holds zeros', share)
  .option('--listed <share>', 'share of the rest that storage has too', share)
  .option('--compression <ratio>', 'compression ratio of zstd', number(1), defaultSetup.compressionRatio)
  .option('--zstd-rate <bytes>', 'what a core compresses in a second', bytes, zstdBytesPerSecondPerCore)
  .option('--compressors <n>', 'cores that compress', number(1), compressors)
  .option(
    '--target-rate <bytes>',
    'what the loader of the target’s QEMU takes from one stream',
    bytes,
    defaultSetup.targetBytesPerSecond,
  )
  .option(
    '--cores <n>',
    'cores of each host that nothing else uses (default: as many as are of use)',
    number(0.1),
  )
  .option('--no-placing', 'the engine cannot place pages: they go through QEMU’s loader')
  .option('--list-latency <ms>', 'time until the list arrives, in ms', number(0), defaultSetup.listLatencyMs)
  .option('--downtime-limit <ms>', "QEMU's downtime limit", number(1), defaultSetup.downtimeLimitMs)
  .option(
    '--before-switch <percent>',
    'resume: of the list, what is at the destination before the VM moves',
    number(0, 100),
    defaultSetup.shareBeforeSwitch * 100,
  )
  .option('--against <folders...>', 'instead: simulate recorded runs, or all of a set, and compare')
  .option('--json', 'write JSON to standard output')
  .addHelpText(
    'after',
    `\nGuests (--zero, --listed): fresh ${fresh}; aged ${aged}.` +
      '\nRates: 10gbit, 250mbit. Bytes: 15M.\n\nExit codes: 0 predicted; 1 not written; 2 wrong option, or no run that can be predicted.',
  )
  .exitOverride()
  .showHelpAfterError()
  .allowExcessArguments(false);

function setupOf(options: Arguments & { readonly mem: number }): Setup {
  const shares = options.guest === 'aged' ? agedShares : guest;
  const bytesPerSecond = (bits: number): number => (bits / 8 / options.scale) * payloadShare;
  return {
    ...defaultSetup,
    guest: {
      memoryBytes: (options.mem * 2 ** 30) / options.scale,
      zeroShare: options.zero ?? shares.zeroShare,
      listedShare: options.listed ?? shares.listedShare,
      dirtyBytesPerSecond: options.dirtyRate,
      hotShare: options.hot,
    },
    migrationRate: constantRate(bytesPerSecond(options.migrationRate ?? options.linkRate)),
    storageRate: constantRate(bytesPerSecond(options.storageRate ?? options.linkRate)),
    compressionRatio: options.compression,
    compressorBytesPerSecond: options.zstdRate * options.compressors,
    targetBytesPerSecond: options.targetRate,
    cores: options.cores ?? Infinity,
    places: options.placing,
    listLatencyMs: options.listLatency,
    downtimeLimitMs: options.downtimeLimit,
    shareBeforeSwitch: options.beforeSwitch / 100,
  };
}

/** @param notes rows that have a text in place of figures, under the others */
function printTable(
  rows: readonly (readonly string[])[],
  notes: readonly (readonly [string, string])[] = [],
): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  widths[0] = Math.max(widths[0] ?? 0, ...notes.map(([name]) => name.length));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(cells.join('  '));
  }
  for (const [name, note] of notes) console.log(`${name.padEnd(widths[0])}  ${note}`);
}

function printPredictions(predictions: readonly Prediction[]): void {
  const precopy = predictions.find(({ engine, converged }) => engine === 'precopy' && converged);
  const head = [
    'engine',
    'total s',
    'VM moved s',
    'speed-up',
    'migration MB',
    'busy',
    'storage MB',
    'busy',
    'CPU s: source',
    'target',
    'downtime ms',
    'passes',
  ];
  const figures = predictions.map((prediction) => {
    const {
      engine,
      converged,
      totalTimeMs,
      vmMovedMs,
      migrationLink,
      storageLink,
      cpuMs,
      downtimeMs,
      passes,
    } = prediction;
    const speedUp = converged && precopy !== undefined ? precopy.totalTimeMs / totalTimeMs : undefined;
    return [
      engine,
      converged ? inSeconds(totalTimeMs) : 'never converges',
      converged ? inSeconds(vmMovedMs) : '-',
      speedUp?.toFixed(2) ?? '-',
      converged ? inMegabytes(migrationLink.bytes) : '-',
      percent(migrationLink.busyMs / totalTimeMs),
      inMegabytes(storageLink.bytes),
      percent(storageLink.busyMs / totalTimeMs),
      ...[cpuMs.source, cpuMs.target].map((ms) => (converged ? inSeconds(ms) : '-')),
      converged ? downtimeMs.toFixed(0) : '-',
      String(passes),
    ];
  });
  printTable(
    [head, ...figures],
    Object.entries(notSimulated).map(([engine, reason]) => [engine, `not modelled: ${reason}`]),
  );
  console.log('\nThe model’s error: predicted over measured total time, less 1 (docs/predict.md)');
  printTable(modelErrorTable());
}

interface Comparison extends Omit<MeasuredRun, 'setup'> {
  readonly predicted: SimulatedMigration;
  /** Predicted over measured total time, less 1. */
  readonly error: number;
}

async function compare(folders: readonly string[]): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  const runs = await Promise.all(
    folders.map(async (folder) => (isRunFolder(folder) ? [folder] : await runFoldersOf(folder))),
  );
  for (const folder of runs.flat()) {
    const run = await readMeasuredRun(folder).catch((error: unknown) => {
      if (!isCoded(error, 'prediction')) throw error;
      console.error(`left out: ${error.message}`);
      return undefined;
    });
    if (run === undefined) continue;
    const { setup, ...measured } = run;
    const predicted = simulate(run.engine, setup);
    comparisons.push({ ...measured, predicted, error: predicted.totalTimeMs / run.totalTimeMs - 1 });
  }
  if (comparisons.length === 0)
    throw new CodedError(
      'prediction',
      'unusable-run',
      `no run that can be predicted in ${folders.join(' ')}`,
    );
  return comparisons;
}

function printComparisons(comparisons: readonly Comparison[]): void {
  printTable([
    ['run', 'measured s', 'predicted s', 'error', 'migration MB', 'predicted', 'storage MB', 'predicted'],
    ...comparisons.map((run) => [
      run.runId,
      inSeconds(run.totalTimeMs),
      run.predicted.converged ? inSeconds(run.predicted.totalTimeMs) : 'never converges',
      run.predicted.converged ? percent(run.error) : '-',
      run.migrationLinkBytes === undefined ? '-' : inMegabytes(run.migrationLinkBytes),
      inMegabytes(run.predicted.migrationLink.bytes),
      run.storageLinkBytes === undefined ? '-' : inMegabytes(run.storageLinkBytes),
      inMegabytes(run.predicted.storageLink.bytes),
    ]),
  ]);
}

async function main(): Promise<void> {
  program.parse();
  const options = program.opts<Arguments>();
  if (options.against !== undefined) {
    const given = program.options
      .filter((option) => program.getOptionValueSource(option.attributeName()) === 'cli')
      .flatMap(({ long }) => long ?? [])
      .filter((name) => name !== '--against' && name !== '--json');
    if (given.length > 0)
      program.error(`error: --against takes this from the recorded runs: ${given.join(' ')}`);
    const comparisons = await compare(options.against);
    if (options.json) console.log(JSON.stringify(comparisons, null, 2));
    else printComparisons(comparisons);
    return;
  }
  const { mem } = options;
  if (mem === undefined) program.error("error: required option '--mem <GiB>' not specified");
  const simulatedGib = mem / options.scale;
  if (simulatedGib < gib.min || simulatedGib > gib.max)
    program.error(
      `error: --mem ${mem} divided by --scale ${options.scale} is to be ${gib.min} to ${gib.max} GiB`,
    );
  const setup = setupOf({ ...options, mem });
  const predictions = simulatedEngines.map((engine, index) => {
    // It takes the longer the larger the VM is.
    console.error(`simulating ${engine} (${index + 1} of ${simulatedEngines.length})`);
    return { engine, ...simulate(engine, setup) };
  });
  if (options.json) {
    const notModelled = Object.entries(notSimulated).map(([engine, reason]) => ({ engine, reason }));
    console.log(JSON.stringify({ setup, predictions, notModelled, modelErrors }, null, 2));
  } else printPredictions(predictions);
}

const unwritten = watchStandardOutput();
try {
  await main();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCode.predicted : exitCode.usage;
  else if (isCoded(error, 'prediction') || isCoded(error, 'record')) {
    console.error(`predict: ${whatIsWrong(error)}`);
    process.exitCode = exitCode.usage;
  } else throw error;
}
const problem = await unwritten();
if (problem !== undefined) {
  console.error(`predict: ${problem}`);
  process.exitCode = exitCode.unwritten;
}
