/** `poolshift`: live migration for people who run VMs (docs/operate.md). */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { cleanJson, cleanText, type Terminal } from '../engine/cli/clean-text.ts';
import { addStoragePlace, parseStoragePlace } from '../engine/storage/storage-place.ts';
import { CodedError, isCoded } from '../foundation/coded-error.ts';
import { helpSettings } from '../foundation/command-help.ts';
import { PatientOutput } from '../foundation/patient-output.ts';
import { print } from '../foundation/standard-output.ts';
import { type Finding, methods, plainHelps } from './checks.ts';
import { exitCodes, refusedExitCode, usageExitCode } from './course.ts';
import { checkDomain, type DomainMigrationOptions, migrateDomain } from './domain-migration.ts';
import { type DomainRecoveryOptions, recoverDomain } from './domain-recovery.ts';
import { endProcess } from './end-process.ts';
import { evacuate, evacuationExitCode, type EvacuationOptions, evacuationTable } from './evacuation.ts';
import { OperatedHost, SshConnections } from './host.ts';
import { checkMetricsPlace, writeMetrics } from './metrics-file.ts';
import {
  checkQemus,
  migrateQemu,
  type QemuMigrationOptions,
  recoverQemu,
  recoverQemuFromStorage,
} from './qemu-migration.ts';
import type { RecoveryEnd } from './recovery.ts';
import { jsonReporter, type Reporter, textReporter } from './report.ts';
import { knownMigrations, statusLines } from './status.ts';
import { locationOf } from './storage-places.ts';
import { exitCodeOf, metricsText, type Summary } from './summary.ts';

const output = new PatientOutput(process.stdout);
const stdoutTerminal: Terminal | undefined = process.stdout.isTTY ? process.stdout : undefined;

interface Output {
  readonly json?: true;
}

const program = new Command('poolshift')
  .configureHelp(helpSettings)
  .description('Live migration of database VMs that reads cached pages from shared storage.')
  .exitOverride()
  .showHelpAfterError()
  .addHelpText(
    'after',
    [
      '\nExit codes: 0 migrated, or check found no problem; 1 failed, the VM is at the source; 2 wrong',
      'option; 3 in doubt: look on both hosts; 4 a check failed, nothing was started; 5 with',
      '--verify: migrated, and suspended there; 6 with --method resume: at the destination, without all',
      'of its memory; 7 the VM has ended and runs on neither host; 130 ended by Ctrl-C, the VM is at the source.',
    ].join('\n'),
  );

const wholeNumber =
  (min: number, max = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(
        `It must be a whole number from ${min} on${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`}.`,
      );
    return value;
  };

/** The first of those that libvirt's own migrations use, so that a firewall lets them through already. */
const defaultPort = 49_152;

function addCommonOptions(command: Command): Command {
  return addHostOptions(command)
    .addOption(
      new Option(
        '--method <name>',
        'balance, restore, resume: through the engines (with resume the VM runs at the destination before all of its memory is there); ' +
          'plain: libvirt or QEMU alone',
      )
        .choices(methods)
        .default('balance'),
    )
    .option(
      '--storage <[NAME=]place>',
      "the VM's disk as the destination reads it (default: as the VM has it); repeatable",
      (text: string, before: readonly string[]) => {
        try {
          addStoragePlace(text, before.map(parseStoragePlace));
        } catch (error) {
          throw new InvalidArgumentError((error as Error).message);
        }
        return [...before, text];
      },
      [],
    );
}

/** Of every command that speaks to both hosts. */
function addHostOptions(command: Command): Command {
  return command
    .option(
      '--to-address <address>',
      "the destination's address in the migration network (default: its host)",
    )
    .addOption(
      new Option('--port <number>', 'first port to try there')
        .argParser(wholeNumber(1, 65_535))
        .default(defaultPort),
    )
    .addOption(engineOption())
    .option('--json', 'write JSON lines to standard output');
}

const engineOption = (): Option =>
  new Option('--engine <program>', 'poolshift-engine on both hosts').default('poolshift-engine');

/** Of every command that migrates. */
function addMigrationOptions(command: Command): Command {
  return command
    .option('--p2p', "the source's libvirt connects to the destination, not this machine")
    .option('--persistent', 'define the domain at the destination')
    .option('--undefine-source', 'undefine it at the source')
    .option('--verify', 'compare all memory on both hosts while the VM is suspended at the destination')
    .addOption(
      new Option(
        '--available-switchover-bandwidth <MiB/s>',
        "what the migration link gives (default: the interface's rate)",
      ).argParser(wholeNumber(1)),
    )
    .addOption(new Option('--max-downtime <ms>', 'tolerable downtime').argParser(wholeNumber(1)))
    .addOption(
      new Option('--timeout <seconds>', 'suspend the VM if the migration takes longer').argParser(
        wholeNumber(1),
      ),
    )
    .addOption(
      new Option(
        '--before-switch <percent>',
        "with --method resume: share of the cached pages at the destination before the VM moves (default: the engine's)",
      ).argParser(wholeNumber(0, 100)),
    )
    .option('--tls-dir <folder>', 'certificates of both engines, in place of a key for this migration alone');
}

/** Which VM: a domain of libvirt, or two QEMUs. */
interface VmOptions {
  readonly sourceQmp?: string;
  readonly targetQmp?: string;
}

function addVmArguments(command: Command): Command {
  return addCommonOptions(
    addVmNames(command).option(
      '--agent <path>',
      "without libvirt: the agent's socket at the source (default: as QEMU says)",
    ),
  );
}

function addVmNames(command: Command): Command {
  return command
    .argument('[domain]', 'a running domain of libvirt')
    .argument('[destination]', "the destination's libvirt: qemu+ssh://HOST/system")
    .addOption(new Option('-c, --connect <uri>', "the source's libvirt").default('qemu:///system'))
    .option('--source-qmp <place>', 'without libvirt: QMP socket of the VM, a path or ssh://HOST/PATH')
    .option('--target-qmp <place>', 'and of the QEMU that waits for it, started with -incoming defer -S');
}

/** @throws CodedError 'command', 'usage' */
function vmOf(
  domain: string | undefined,
  destination: string | undefined,
  { sourceQmp, targetQmp }: VmOptions,
):
  | { readonly is: 'domain'; readonly domain: string; readonly destination: string }
  | { readonly is: 'qemu'; readonly sourceQmp: string; readonly targetQmp: string } {
  if (domain !== undefined && destination !== undefined && sourceQmp === undefined && targetQmp === undefined)
    return { is: 'domain', domain, destination };
  if (domain === undefined && sourceQmp !== undefined && targetQmp !== undefined)
    return { is: 'qemu', sourceQmp, targetQmp };
  throw new CodedError(
    'command',
    'usage',
    'give a DOMAIN and a DESTINATION, or --source-qmp and --target-qmp',
  );
}

type Options = Omit<DomainMigrationOptions & QemuMigrationOptions, 'sourceQmp' | 'targetQmp'> &
  VmOptions &
  Output;

type CheckOptions = Options & { readonly addChannel?: true };

/** What an early resume has no use for. */
const notEarly = ['verify', 'maxDowntime', 'timeout', 'availableSwitchoverBandwidth'] as const;

/** @throws CodedError 'command', 'usage' */
function checkEarly(options: Omit<DomainMigrationOptions, 'connect' | 'engine' | 'storage' | 'port'>): void {
  const { method, beforeSwitch } = options;
  if (method === 'resume' && notEarly.some((name) => options[name] !== undefined))
    throw new CodedError(
      'command',
      'usage',
      '--method resume goes without --verify, --max-downtime, --timeout and --available-switchover-bandwidth: the VM moves as soon as it may, ' +
        'and runs while its memory follows',
    );
  if (beforeSwitch !== undefined && method !== 'resume')
    throw new CodedError('command', 'usage', '--before-switch goes with --method resume');
}

/** Hosts have no folder that this command is in. @throws CodedError 'command', 'usage' */
function checkPaths(options: {
  readonly storage?: readonly string[];
  readonly agent?: string;
  readonly tlsDir?: string;
  readonly engine: string;
}): void {
  const { storage = [], agent = '/', tlsDir = '/', engine } = options;
  const isWhole = (place: string): boolean => place.startsWith('/') || /^[a-z+]+:\/\//.test(place);
  const relative = [
    ...storage.filter((place) => !isWhole(locationOf(place))).map((place) => `--storage ${place}`),
    ...(agent.startsWith('/') ? [] : [`--agent ${agent}`]),
    ...(tlsDir.startsWith('/') ? [] : [`--tls-dir ${tlsDir}`]),
    ...(engine.includes('/') && !engine.startsWith('/') ? [`--engine ${engine}`] : []),
  ];
  if (relative.length > 0)
    throw new CodedError(
      'command',
      'usage',
      `${relative.join(', ')}: it is a path on the hosts, and begins with "/"`,
    );
}

/** @throws CodedError 'command', 'usage' where an option would have no effect */
function refuseUseless(
  vm: ReturnType<typeof vmOf>,
  { agent }: { readonly agent?: string },
  command: Command,
): void {
  if (vm.is === 'domain' && agent !== undefined)
    throw new CodedError('command', 'usage', '--agent is for VMs without libvirt, which knows where it is');
  if (vm.is === 'qemu' && command.getOptionValueSource('connect') === 'cli')
    throw new CodedError('command', 'usage', '--connect is for libvirt');
}

/** Of engines alone. @throws CodedError 'command', 'usage' */
function checkPlain({
  method,
  tlsDir,
  storage = [],
  agent,
}: {
  readonly method: Options['method'];
  readonly tlsDir?: string;
  readonly storage?: readonly string[];
  readonly agent?: string;
}): void {
  if (method === 'plain' && (tlsDir !== undefined || agent !== undefined || storage.length > 0))
    throw new CodedError(
      'command',
      'usage',
      '--method plain goes without --tls-dir, --storage and --agent, which are for the engines',
    );
}

/** Of libvirt alone. */
const ofLibvirt = ['p2p', 'persistent', 'undefineSource', 'verify'] as const;

addMigrationOptions(addVmArguments(program.command('migrate')))
  .description('move a running VM to another host; checks first')
  .addOption(
    new Option('--bandwidth <MiB/s>', "QEMU's bandwidth limit; with --method plain only").argParser(
      wholeNumber(1),
    ),
  )
  .option('--metrics <file>', "write OpenMetrics text there, for node_exporter's folder of text files")
  .action(
    async (
      domain: string | undefined,
      destination: string | undefined,
      options: Options & { readonly metrics?: string },
      command: Command,
    ) => {
      const vm = vmOf(domain, destination, options);
      refuseUseless(vm, options, command);
      checkPaths(options);
      checkPlain(options);
      if (options.bandwidth !== undefined && options.method !== 'plain')
        throw new CodedError(
          'command',
          'usage',
          '--bandwidth limits what QEMU sends before the engine leaves pages out, so that it would slow the migration without need: ' +
            'leave it out, shape the link, or take --method plain',
        );
      checkEarly(options);
      if (options.metrics !== undefined) await checkMetricsPlace(options.metrics);
      if (vm.is === 'qemu' && ofLibvirt.some((name) => options[name] !== undefined))
        throw new CodedError(
          'command',
          'usage',
          '--p2p, --persistent, --undefine-source and --verify are for libvirt',
        );
      const reporter = reporterOf(options, stdoutTerminal);
      const end =
        vm.is === 'domain'
          ? await migrateDomain(vm.domain, vm.destination, options, reporter, onInterrupt)
          : await migrateQemu({ ...options, ...vm }, reporter, onInterrupt);
      await conclude(end, options.metrics);
    },
  );

addMigrationOptions(addHostOptions(program.command('evacuate')))
  .description('move all running domains of a host to another, those with the largest pools last')
  .requiredOption('--to <uri>', "the destination's libvirt: qemu+ssh://HOST/system")
  .addOption(new Option('-c, --connect <uri>', "the source's libvirt").default('qemu:///system'))
  .addOption(new Option('--method <name>', 'as for migrate').choices(methods).default('balance'))
  .option('--or-plain', 'migrate domains that the engines cannot help by libvirt alone')
  .addOption(
    new Option('--parallel <number>', 'domains at once, each with its share of the link')
      .argParser(wholeNumber(1, 64))
      .default(1),
  )
  .action(async (options: Omit<EvacuationOptions, 'storage'> & Output & { readonly to: string }) => {
    checkEarly(options);
    checkPaths(options);
    checkPlain(options);
    // Lines of several would overwrite each other.
    const terminal = options.parallel === 1 ? stdoutTerminal : undefined;
    const ends = await evacuate(
      options.to,
      { ...options, storage: [] },
      (domain) => reporterOf(options, terminal, domain),
      onInterrupt,
    );
    if (options.json === true)
      output.write(
        `${cleanJson(JSON.stringify({ event: 'evacuated', time: new Date().toISOString(), ends }))}\n`,
      );
    else for (const line of evacuationTable(ends)) output.write(`${cleanText(line)}\n`);
    process.exitCode = evacuationExitCode(ends);
    // As of a migrate.
    await endProcess(output);
  });

addVmArguments(program.command('check'))
  .description('report what would prevent a migration')
  .option('--add-channel', "give the domain the agent's channel if it has none, now and for its next start")
  .action(
    async (
      domain: string | undefined,
      destination: string | undefined,
      options: CheckOptions,
      command: Command,
    ) => {
      const vm = vmOf(domain, destination, options);
      refuseUseless(vm, options, command);
      checkPaths(options);
      if (vm.is === 'qemu' && options.addChannel === true)
        throw new CodedError('command', 'usage', '--add-channel is for libvirt');
      const reporter = reporterOf(options, stdoutTerminal);
      const hindered =
        vm.is === 'domain'
          ? await checkDomain(vm.domain, vm.destination, options, reporter)
          : await checkQemus({ ...options, ...vm }, reporter);
      if (hindered.length > 0) process.exitCode = refusedExitCode;
    },
  );

addVmNames(program.command('recover'))
  .description(
    'complete a move by --method resume that lost its engines or its link, from the memory at the source or from storage',
  )
  .option(
    '--restart-libvirt',
    "stop the destination's libvirt daemon for a moment: it keeps everyone else from a QEMU whose migration is broken",
  )
  .option(
    '--from-storage',
    'the source and the destination engine are lost: the rest comes from storage, if it had all of it; give DOMAIN and DESTINATION, or --target-qmp alone',
  )
  .addOption(engineOption())
  .option('--json', 'write JSON lines to standard output')
  .addHelpText(
    'after',
    [
      '\nExit codes: 0 the VM has everything; 2 wrong option; 4 nothing was started; 6 incomplete, and 130',
      'the same after Ctrl-C: run it again.',
    ].join('\n'),
  )
  .action(
    async (
      domain: string | undefined,
      destination: string | undefined,
      options: VmOptions & Output & DomainRecoveryOptions,
      command: Command,
    ) => {
      const { sourceQmp, targetQmp, engine } = options;
      checkPaths({ engine });
      if (options.fromStorage === true && sourceQmp !== undefined)
        throw new CodedError(
          'command',
          'usage',
          '--from-storage is for a source that is lost: leave out --source-qmp',
        );
      const isLost = options.fromStorage === true && domain === undefined && targetQmp !== undefined;
      const vm = isLost ? { is: 'target' as const, targetQmp } : vmOf(domain, destination, options);
      if (
        vm.is !== 'domain' &&
        (options.restartLibvirt === true || command.getOptionValueSource('connect') === 'cli')
      )
        throw new CodedError('command', 'usage', '--restart-libvirt and --connect are for libvirt');
      const reporter = reporterOf(options, stdoutTerminal);
      try {
        const end =
          vm.is === 'domain'
            ? await recoverDomain(vm.domain, vm.destination, options, reporter, onInterrupt)
            : vm.is === 'target'
              ? await recoverQemuFromStorage({ ...vm, engine }, reporter, onInterrupt)
              : await recoverQemu({ ...options, ...vm }, reporter, onInterrupt);
        process.exitCode = recoveryExitCodes[end];
        // As of a migrate: an engine that hangs in the kernel is left.
        await endProcess(output);
      } catch (error) {
        if (!(error instanceof CodedError) || isCoded(error, 'command')) throw error;
        process.stderr.write(`poolshift: ${cleanText(error.message)}\n`);
        process.exitCode = refusedExitCode;
      }
    },
  );

const recoveryExitCodes: Readonly<Record<RecoveryEnd, number>> = {
  recovered: exitCodes.migrated,
  incomplete: exitCodes.incomplete,
  cancelled: exitCodes.cancelled,
};

program
  .command('status')
  .description('list the migrations that this host knows')
  .option('--json', 'write them as one JSON array')
  .action(async (options: Output) => {
    const connections = SshConnections.open();
    const known = await knownMigrations(new OperatedHost(undefined, connections)).finally(() =>
      connections.close([]),
    );
    await print(
      options.json === true
        ? `${cleanJson(JSON.stringify(known))}\n`
        : statusLines(known)
            .map((line) => `${cleanText(line)}\n`)
            .join(''),
    );
  });

function reporterOf({ json }: Output, terminal?: Terminal, name?: string): Reporter {
  const write = (text: string): void => {
    output.write(text);
  };
  const reporter = json === true ? jsonReporter(write, name) : textReporter(write, terminal, name);
  return {
    ...reporter,
    progress: (progress) => {
      // Of a reader that lags, what is over is kept from nobody.
      if (output.hasRoom) reporter.progress(progress);
    },
  };
}

async function conclude(
  end: { readonly hindered: readonly Finding[] } | { readonly summary: Summary },
  metrics: string | undefined,
): Promise<void> {
  if ('hindered' in end) {
    process.exitCode = refusedExitCode;
    process.stderr.write(
      `poolshift: nothing was started${plainHelps(end.hindered) ? '; --method plain migrates without the engines' : ''}\n`,
    );
    return;
  }
  process.exitCode = exitCodeOf(end.summary);
  // What became of the VM is the status, whatever becomes of this file.
  if (metrics !== undefined)
    await writeMetrics(metrics, metricsText(end.summary, Date.now())).catch((error: unknown) => {
      process.stderr.write(`poolshift: no metrics: ${cleanText((error as Error).message)}\n`);
    });
  // virsh may wait for as long as it likes, for a late answer or for a source that nobody ends: it goes on without this process.
  await endProcess(output);
}

const listeners: (() => void)[] = [];
let interrupted = false;
function onInterrupt(listener: () => void): void {
  listeners.push(listener);
  if (interrupted) listener();
}
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.on(name, () => {
    interrupted = true;
    // Nothing has begun that would have to be ended.
    if (listeners.length === 0) process.exit(exitCodes.cancelled);
    for (const listener of listeners) listener();
  });
// A lost terminal ends nothing.
process.on('SIGHUP', () => undefined);
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

try {
  await program.parseAsync();
} catch (error) {
  // commander has written its own errors already; help is no error.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : usageExitCode;
  else {
    process.stderr.write(`poolshift: ${cleanText((error as Error).message)}\n`);
    process.exitCode = isCoded(error, 'command') ? usageExitCode : exitCodes.failed;
  }
}
