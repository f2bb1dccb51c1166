/**
 * Whole migrations between two real QEMUs on this machine, nothing shaped, with the bundled engines between them: what a GiB of
 * memory costs each process. The VM is stopped, so that each page is sent once, and most of its memory is cached blocks of its
 * disk. Methods in alternation, medians; memory is compared after each run.
 * `node bench/pair.bench.ts [--mib N] [--rounds N] [--method NAME]... [--prefaulted] [--json]`
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { median } from 'simple-statistics';
import { number } from '../engine/cli/arguments.ts';
import { bundleEngine } from '../engine/cli/bundle.ts';
import { type CachedRun, type EngineProcess, listOf, VmPair } from '../engine/cli/testing/vm-pair.ts';
import { findQemu } from '../qemu/find-qemu.ts';
import type { MigrationCapability, MigrationParameters } from '../qemu/qmp/messages.ts';
import type { Qemu } from '../qemu/qemu-process.ts';
import { benchCommand } from './bench-command.ts';

const MiB = 2 ** 20;
const pagesPerMiB = 256;

interface Method {
  readonly capabilities: readonly MigrationCapability[];
  readonly parameters?: MigrationParameters;
  /** Arguments of our engines; undefined for stock QEMU. */
  readonly engines?: { readonly source: readonly string[]; readonly destination: readonly string[] };
}

const withEngines = (strategy: string, targetRam: string, ...source: readonly string[]): Method => ({
  capabilities: ['return-path', 'switchover-ack'],
  engines: { source: ['--strategy', strategy, ...source], destination: ['--target-ram', targetRam] },
});
/** Whatever is scarce: on this machine processors are. */
const always = ['--leave-out', 'always', '--compress', 'zstd'] as const;
const methods: Readonly<Record<string, Method>> = {
  precopy: { capabilities: ['return-path'] },
  'multifd-zstd': {
    capabilities: ['return-path', 'multifd'],
    parameters: { 'multifd-channels': 4, 'multifd-compression': 'zstd', 'multifd-zstd-level': 1 },
  },
  restore: withEngines('restore', 'auto'),
  'restore, streamed': withEngines('restore', 'none'),
  balance: withEngines('balance', 'auto', ...always),
  'balance, streamed': withEngines('balance', 'none', ...always),
  passthrough: withEngines('passthrough', 'auto'),
};

const values = benchCommand(
  import.meta.filename,
  'Whole migrations between two QEMUs on loopback: GB/s, and CPU seconds a GiB by process.',
)
  .option('--mib <n>', 'memory of the VM', evenMib, 320)
  .option('--rounds <n>', 'of each method', number(1), 3)
  .addOption(
    new Option('--method <names...>', 'what is measured, in turns')
      .choices(Object.keys(methods))
      .default(Object.keys(methods), 'all'),
  )
  .option('--prefaulted', "the target's memory is there from its start")
  .parse()
  .opts<{
    readonly mib: number;
    readonly rounds: number;
    readonly method: readonly string[];
    readonly prefaulted?: true;
    readonly json?: true;
  }>();
const { mib: ramMiB, rounds } = values;

function evenMib(text: string): number {
  const value = number(96)(text);
  if (value % 2 === 0) return value;
  throw new InvalidArgumentError('It must be even.');
}

const found = findQemu();
if (found === undefined) throw new Error('no QEMU 9 or newer is found');
const { installation } = found;
const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-bench-'));
const engine = path.join(folder, 'engine.mjs');

/** Four fifths of memory, in runs of 16 KiB as InnoDB's pages are, in no order. */
const cachedMiB = Math.floor(ramMiB * 0.8);
const groups = (cachedMiB * pagesPerMiB) / 4;
const cached: readonly CachedRun[] = Array.from({ length: groups }, (_, group) => ({
  block: pagesPerMiB + group * 4,
  page: 16 * pagesPerMiB + ((group * 1031) % groups) * 4,
  count: 4,
}));

const processNames = ['source QEMU', 'source engine', 'destination engine', 'target QEMU'] as const;
type ProcessName = (typeof processNames)[number];
interface Round {
  readonly gigabytesPerSecond: number;
  /** For each GiB of the VM's memory. */
  readonly cpuSeconds: Readonly<Record<ProcessName, number>>;
  /** What had been used when the migration began, whatever the VM's size: the engines' start, and the target's. */
  readonly startCpuSeconds: { readonly engines: number; readonly targetQemu: number };
  readonly placedShare: number | undefined;
}

/** CPU seconds of a process so far, its threads included (proc(5), stat: utime and stime in hundredths). */
function cpuSecondsOf({ pid }: Pick<Qemu, 'pid'>): number {
  const text = readFileSync(`/proc/${pid ?? 0}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Counters of an engine that is done. */
async function countersOf(process: EngineProcess) {
  const code = await process.ended;
  const done = process.events.find(({ event }) => event === 'done');
  if (code !== 0 || done?.event !== 'done')
    throw new Error(`an engine ended with ${code}: ${process.errors}`);
  return done;
}

async function measure({ capabilities, parameters, engines }: Method): Promise<Round> {
  const pair = await VmPair.start(installation, {
    ramBytes: ramMiB * MiB,
    diskBytes: (cachedMiB + 2) * MiB,
    program: { startBytes: 8 * MiB, endBytes: 9 * MiB, strideBytes: 4096, delayRounds: 200_000 },
    capabilities,
    targetPrefaults: values.prefaulted === true,
    ...(parameters === undefined ? {} : { parameters, targetParameters: parameters }),
  });
  try {
    pair.cache(cached);
    await pair.source.execute('stop');
    const started =
      engines && (await pair.startEngines(listOf(cached, ramMiB * MiB), { program: engine, ...engines }));
    const before = [cpuSecondsOf(pair.source), cpuSecondsOf(pair.target)];
    const enginesBefore = started && {
      source: cpuSecondsOf(started.source),
      destination: cpuSecondsOf(started.destination),
    };
    const beganMs = performance.now();
    await pair.migrate(started === undefined ? pair.incomingPath : pair.outgoingPath);
    for (const qemu of [pair.source, pair.target])
      await qemu.waitForMigration(({ status }) => status === 'completed', 600_000);
    const seconds = (performance.now() - beganMs) / 1000;
    const after = [cpuSecondsOf(pair.source), cpuSecondsOf(pair.target)];
    const source = started && (await countersOf(started.source));
    const destination = started && (await countersOf(started.destination));
    const differing = pair.differingPages().length;
    if (differing > 0) throw new Error(`${differing} pages differ`);
    const perGiB = (cpuSeconds: number): number => (cpuSeconds * 1024) / ramMiB;
    const [sourceSeconds = 0, targetSeconds = 0] = after.map((total, i) => total - (before[i] ?? 0));
    return {
      gigabytesPerSecond: (ramMiB * MiB) / 1e9 / seconds,
      cpuSeconds: {
        'source QEMU': perGiB(sourceSeconds),
        'source engine': perGiB((source?.cpu_ms ?? 0) / 1000 - (enginesBefore?.source ?? 0)),
        'destination engine': perGiB((destination?.cpu_ms ?? 0) / 1000 - (enginesBefore?.destination ?? 0)),
        'target QEMU': perGiB(targetSeconds),
      },
      startCpuSeconds: {
        engines: (enginesBefore?.source ?? 0) + (enginesBefore?.destination ?? 0),
        targetQemu: before[1] ?? 0,
      },
      placedShare:
        destination && destination.pages_placed / (destination.pages_placed + destination.pages_streamed),
    };
  } finally {
    await pair.stop();
  }
}

const measured = new Map<string, Round[]>(values.method.map((name) => [name, []]));
try {
  await bundleEngine(engine);
  for (let round = 0; round < rounds; round++) {
    // There and back, so that no method is always the first.
    const order = round % 2 === 0 ? values.method : values.method.toReversed();
    for (const name of order) {
      const method = methods[name];
      if (method === undefined) continue;
      const run = await measure(method);
      measured.get(name)?.push(run);
      // A run takes seconds; on a busy machine, minutes.
      console.error(JSON.stringify({ round, method: name, ...run }));
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

const rows = [...measured].map(([method, runs]) => ({
  method,
  gigabytesPerSecond: median(runs.map((run) => run.gigabytesPerSecond)),
  ...Object.fromEntries(
    processNames.map((name) => [name, median(runs.map(({ cpuSeconds }) => cpuSeconds[name]))] as const),
  ),
  total: median(runs.map(({ cpuSeconds }) => processNames.reduce((sum, name) => sum + cpuSeconds[name], 0))),
  enginesStart: median(runs.map(({ startCpuSeconds }) => startCpuSeconds.engines)),
  targetStart: median(runs.map(({ startCpuSeconds }) => startCpuSeconds.targetQemu)),
  placedShare: median(runs.map(({ placedShare }) => placedShare ?? NaN)),
}));
if (values.json === true) console.log(JSON.stringify(rows));
else {
  const table = rows.map((row) => {
    const { method, gigabytesPerSecond, total, enginesStart, targetStart, placedShare, ...cpuSeconds } = row;
    return [
      method.padEnd(18),
      gigabytesPerSecond.toFixed(2),
      ...processNames.map((name) => (cpuSeconds as Readonly<Record<string, number>>)[name]?.toFixed(2) ?? ''),
      total.toFixed(2),
      enginesStart.toFixed(2),
      targetStart.toFixed(2),
      Number.isNaN(placedShare) ? '' : `${(placedShare * 100).toFixed(0)} %`,
    ].join(' | ');
  });
  const head = [
    'method'.padEnd(18),
    'GB/s',
    ...processNames,
    'CPU s in all',
    'start of engines, s',
    'of target, s',
    'placed',
  ].join(' | ');
  console.log(
    `${ramMiB} MiB, ${values.prefaulted === true ? 'target prefaulted, ' : ''}CPU seconds a GiB, medians of ${rounds}\n\n${head}\n${table.join('\n')}`,
  );
}
