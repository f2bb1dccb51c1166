/** `poolshift-engine`: the migration engine for a VM that somebody else started (docs/engine.md). */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { helpSettings } from '../../foundation/command-help.ts';
import { PatientOutput } from '../../foundation/patient-output.ts';
import { print } from '../../foundation/standard-output.ts';
import { type PageListAnswer, requestPageList } from '../list/agent-client.ts';
import { decodePageListInSlices } from '../list/page-list-codec.ts';
import { explanationOf } from '../list/explanation.ts';
import { defaultLimits, type Limits } from '../core/wait-watch.ts';
import type { EngineOutcome, Interrupts } from '../core/engine-options.ts';
import { runDestination } from '../destination/destination-engine.ts';
import { openSources } from '../destination/listed-storage.ts';
import type { EventSink } from '../core/engine-event.ts';
import {
  defaultLeavesOut,
  defaultShareBeforeSwitch,
  type LeavesOut,
  leavesOut,
  type Strategy,
  strategies,
} from '../core/schedule.ts';
import { addStoragePlace, parseStoragePlace, type StoragePlace } from '../storage/storage-place.ts';
import {
  type GuestRamPlace,
  type OpenGuestRam,
  openGuestRam,
  parseGuestRamPlace,
  readMemoryMap,
} from '../source/guest-ram.ts';
import type { TargetRamSource } from '../core/outside.ts';
import { openTargetRam, parseTargetRamPlace, type TargetRamPlace } from '../destination/target-ram.ts';
import { prepareSocketFolder, staleSocketAt } from '../source/socket-file.ts';
import { runSource } from '../source/source-engine.ts';
import type { SourceOptions } from '../source/source-options.ts';
import { formatSummary, StreamInspector } from '../stream/inspect.ts';
import { descriptorOf } from '../wire/pre-shared-key.ts';
import { restartWithAllocatorSettings } from './allocator.ts';
import { number, seconds, tcpAddress, type TcpAddress, unixPath } from './arguments.ts';
import { addPeerOptions, keyCommand, type PeerArguments, peerSecurity } from './peer-options.ts';
import { cleanJson, cleanText } from './clean-text.ts';
import { RecoveryKeeper, recoverFrom, StorageRecoveryKeeper } from './recovery.ts';
import { jsonSink, textSink } from './report.ts';
import { become, makeFolderFor, type User, userNamed } from './run-as-user.ts';

/** What the program's exit status means. */
const exitCode = {
  migrated: 0,
  /** The migration failed and the VM runs on at the source; or another command failed. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Nobody here can tell whether the target has the VM. */
  inDoubt: 3,
  /** The VM is at the destination, without some of its pages, which do not come any more. */
  incomplete: 4,
  /** Ended by SIGINT or SIGTERM; the VM runs on at the source. */
  interrupted: 130,
} as const;

interface CommonOptions {
  readonly json?: true;
  readonly vm?: string;
}

interface MigrationOptions extends CommonOptions {
  readonly startLimit: number;
  readonly stallLimit: number;
  readonly switchoverLimit: number;
  readonly storageLimit?: number;
}

const jsonOption = (): Option => new Option('--json', 'write events as JSON lines to standard output');
const agentTimeoutOption = (): Option =>
  new Option('--agent-timeout <seconds>', 'treat the guest as having no agent after this many seconds')
    .argParser(seconds(0.1))
    .default(10);
const startLimitOption = (): Option =>
  new Option('--start-limit <seconds>', 'end after this many seconds in which no migration has begun')
    .argParser(seconds(1))
    .default(defaultLimits.startMs / 1000);
const stallLimitOption = (): Option =>
  new Option('--stall-limit <seconds>', 'fail after this many seconds without progress before the switchover')
    .argParser(seconds(1))
    .default(defaultLimits.stallMs / 1000);
const switchoverLimitOption = (): Option =>
  new Option(
    '--switchover-limit <seconds>',
    "wait this many seconds for the target's answer after the commit",
  )
    .argParser(seconds(1))
    .default(defaultLimits.switchoverMs / 1000);
const storageLimitOption = (): Option =>
  new Option(
    '--storage-limit <seconds>',
    'give up storage that has not answered for this many seconds; its pages come from the source',
  )
    .argParser(seconds(1))
    .default(defaultLimits.storageMs / 1000);
const limitsOf = ({
  startLimit,
  stallLimit,
  switchoverLimit,
  storageLimit = defaultLimits.storageMs / 1000,
}: MigrationOptions): Limits => ({
  startMs: startLimit * 1000,
  storageMs: storageLimit * 1000,
  stallMs: stallLimit * 1000,
  switchoverMs: switchoverLimit * 1000,
});
const storageOption = (meaning: string): Option =>
  new Option('--storage <[NAME=]place>', meaning)
    .argParser((text: string, before: readonly StoragePlace[]) =>
      argument((place) => addStoragePlace(place, before))(text),
    )
    .default([]);
const vmOption = (): Option =>
  new Option('--vm <name>', "the VM's name or uuid; both engines must be given the same, or none");
const userOption = (): Option =>
  new Option('--user <name>', 'drop to this user once what needs root is open').argParser(userNamed);

const program = new Command('poolshift-engine')
  .configureHelp(helpSettings)
  .description('Live migration that reads cached pages from shared storage. Nothing is patched.')
  .exitOverride()
  .showHelpAfterError()
  .addHelpText(
    'after',
    '\nExit codes: 0 done; 1 failed (the VM is at the source); 2 wrong option; 3 in doubt; 4 the VM is at the destination, without some of its pages; 130 stopped by a signal.',
  );

interface SourceArguments extends MigrationOptions, PeerArguments {
  readonly listen: string;
  readonly connect: TcpAddress;
  readonly agent?: string;
  readonly agentTimeout: number;
  readonly listFile?: string;
  readonly ram: readonly GuestRamPlace[];
  readonly memoryMap?: string;
  readonly user?: User;
  readonly strategy: Strategy;
  readonly beforeSwitch?: number;
  readonly compress?: SourceOptions['compression'];
  readonly clean: 'none' | 'checkpoint';
  readonly listAt: 'start' | 'migrate';
  readonly leaveOut: LeavesOut;
}

addPeerOptions(program.command('source'), 'source')
  .description('run on the source host; then tell its QEMU to migrate to the socket')
  .requiredOption('--listen <unix:PATH>', 'socket for QEMU: migrate unix:PATH', unixPath)
  .requiredOption('--connect <HOST:PORT>', 'the destination engine', tcpAddress)
  .option('--agent <path>', "the guest agent's socket on this host")
  .addOption(agentTimeoutOption())
  .option('--list-file <path>', 'take an encoded page list from a file instead of an agent')
  .option(
    '--ram <place>',
    'guest memory: pid:NUMBER (QEMU), or file:PATH (memory-backend-file); with several memory backends BLOCK=file:PATH, repeatable',
    (text: string, before: readonly GuestRamPlace[]) => [...before, argument(parseGuestRamPlace)(text)],
    [],
  )
  .option(
    '--memory-map <file>',
    'what QEMU\'s monitor says to "info mtree -f" and "info ramblock": for memory of several blocks, such as NUMA nodes',
  )
  .addOption(
    new Option('--strategy <name>', 'which pages come from storage and which over the link')
      .choices(strategies)
      .default('restore'),
  )
  .option(
    '--before-switch <percent>',
    `with strategy resume: share of the list at the destination before the VM moves (default: ${defaultShareBeforeSwitch * 100})`,
    number(0, 100),
  )
  .addOption(
    new Option(
      '--compress <how>',
      'compress the migration link; auto: while the link is scarce and CPU time is not (default: auto with balance and resume, else none)',
    ).choices(['none', 'zstd', 'auto']),
  )
  .addOption(
    new Option('--clean <how>', 'have the database write its dirty pages first')
      .choices(['none', 'checkpoint'])
      .default('none'),
  )
  .addOption(
    new Option('--list-at <when>', 'request the list when QEMU starts sending, or before listening for QEMU')
      .choices(['start', 'migrate'])
      .default('migrate'),
  )
  .addOption(
    new Option(
      '--leave-out <when>',
      "with strategy balance: leave listed pages out of QEMU's stream always, or while the link is scarce and CPU time is not",
    )
      .choices(leavesOut)
      .default(defaultLeavesOut),
  )
  .addOption(startLimitOption())
  .addOption(stallLimitOption())
  .addOption(switchoverLimitOption())
  .addOption(vmOption())
  .addOption(userOption())
  .addOption(jsonOption())
  .action(async (args: SourceArguments, command: Command) => {
    refuseUseless(args, command);
    restartUnlessKeyWouldBeLost(args);
    const security = peerSecurity('source', args);
    const onEvent = sink(args);
    const { memoryMap } = args;
    const mapText = memoryMap === undefined ? undefined : () => readMemoryMap(memoryMap);
    const ram = args.ram.length === 0 ? undefined : openRam(args.ram, mapText, onEvent);
    const keeper =
      args.strategy === 'resume' && ram !== undefined
        ? new RecoveryKeeper(args.listen, args.ram, mapText)
        : undefined;
    const agent = args.user === undefined || args.agent === undefined ? undefined : openAgent(args.agent);
    if (args.user !== undefined) {
      makeFolderFor(args.user, args.listen);
      become(args.user);
    }
    await checkSocketPath(args.listen, onEvent);
    const requestList = listRequest(args, agent);
    const outcome = await runSource({
      listenPath: args.listen,
      destination: args.connect,
      security,
      strategy: args.strategy,
      listAt: args.listAt,
      leavesOut: args.leaveOut,
      ...(args.strategy === 'resume' ? { moveSignal: moveSignal() } : {}),
      ...(keeper === undefined
        ? {}
        : {
            keepForRecovery: (left) => {
              keeper.keep(left);
            },
          }),
      ...(args.beforeSwitch === undefined ? {} : { shareBeforeSwitch: args.beforeSwitch / 100 }),
      compression: args.compress ?? (['balance', 'resume'].includes(args.strategy) ? 'auto' : 'none'),
      onEvent,
      interrupts,
      limits: limitsOf(args),
      ...(args.vm === undefined ? {} : { vm: args.vm }),
      ...(ram === undefined ? {} : { ram }),
      ...(requestList === undefined ? {} : { requestList }),
    });
    keeper?.end(outcome);
    process.exitCode = exitStatus(outcome.result);
  });

/** @throws CodedError 'command', 'usage' where an option would have no effect */
function refuseUseless(args: SourceArguments, command: Command): void {
  const { agent, listFile, memoryMap, ram, strategy } = args;
  const isGiven = (name: keyof SourceArguments): boolean => command.getOptionValueSource(name) === 'cli';
  const useless: readonly (readonly [boolean, string])[] = [
    [
      agent !== undefined && listFile !== undefined,
      '--list-file stands in the place of --agent: give one of them',
    ],
    [agent === undefined && isGiven('agentTimeout'), '--agent-timeout goes with --agent'],
    [agent === undefined && isGiven('clean'), '--clean goes with --agent'],
    [memoryMap !== undefined && ram.length === 0, '--memory-map goes with --ram'],
    [isGiven('leaveOut') && strategy !== 'balance', '--leave-out goes with --strategy balance'],
    [isGiven('beforeSwitch') && strategy !== 'resume', '--before-switch goes with --strategy resume'],
  ];
  const found = useless.find(([is]) => is);
  if (found !== undefined) throw new CodedError('command', 'usage', found[1]);
}

interface DestinationArguments extends MigrationOptions, PeerArguments {
  readonly listen: TcpAddress;
  readonly incoming: string;
  readonly storage: readonly StoragePlace[];
  readonly targetRam: TargetRamPlace;
  readonly user?: User;
}

addPeerOptions(program.command('destination'), 'destination')
  .description('run on the destination host, whose QEMU waits on the socket')
  .requiredOption('--listen <HOST:PORT>', 'where the source engine connects', tcpAddress)
  .requiredOption('--incoming <unix:PATH>', 'socket on which the target QEMU waits', unixPath)
  .addOption(
    storageOption(
      "the VM's disk, raw or qcow2: a file, a block device, nfs://HOST/PATH or nbd+unix:///EXPORT?socket=PATH; NAME is the disk's serial " +
        'or its name in the guest, or a shared file system (SERVER:/EXPORT=FOLDER); repeatable',
    ),
  )
  .option(
    '--target-ram <place>',
    "where pages are written into the target's memory: auto (QEMU's process is found by its socket), file:PATH " +
      '(memory-backend-file), pid:NUMBER (QEMU), or none: all go through its stream',
    argument(parseTargetRamPlace),
    { kind: 'auto' },
  )
  .addOption(storageLimitOption())
  .addOption(startLimitOption())
  .addOption(stallLimitOption())
  .addOption(switchoverLimitOption())
  .addOption(vmOption())
  .addOption(userOption())
  .addOption(jsonOption())
  .action(async (args: DestinationArguments) => {
    restartUnlessKeyWouldBeLost(args);
    const security = peerSecurity('destination', args);
    const onEvent = sink(args);
    const targetRam = targetRamOf(args);
    if (args.user !== undefined) become(args.user);
    const keeper = new StorageRecoveryKeeper(args.incoming, args.storage);
    const outcome = await runDestination({
      listen: args.listen,
      security,
      incomingPath: args.incoming,
      storage: args.storage,
      ...(targetRam === undefined ? {} : { targetRam }),
      keepForRecovery: (rest) => keeper.keep(rest),
      onEvent,
      interrupts,
      limits: limitsOf(args),
      ...(args.vm === undefined ? {} : { vm: args.vm }),
    });
    await keeper.end(outcome);
    process.exitCode = exitStatus(outcome.result);
  });

program
  .command('recover')
  .description(
    'complete an early resume that broke: run on the source host, whose QEMU has the pages that the VM misses; or, if that is lost, on the ' +
      'destination host, from storage',
  )
  .argument(
    '<file>',
    "recovery file of the source or the destination engine: the path of its QEMU's socket, and .recovery",
  )
  .requiredOption(
    '--target <unix:PATH>',
    'socket that the target QEMU was given by migrate-recover, forwarded to the source host by ssh -L',
    unixPath,
  )
  .addOption(storageOption('on the destination host: where storage is, if that has changed'))
  .addOption(stallLimitOption())
  .addOption(jsonOption())
  .action(
    async (
      file: string,
      args: CommonOptions & {
        readonly target: string;
        readonly stallLimit: number;
        readonly storage: readonly StoragePlace[];
      },
    ) => {
      const outcome = await recoverFrom(file, args, sink(args), interrupts);
      process.exitCode = exitStatus(outcome.result);
    },
  );

interface ListArguments extends CommonOptions {
  readonly agent: string;
  readonly agentTimeout: number;
  readonly clean: 'none' | 'checkpoint';
  readonly explain?: true;
}

program
  .command('list')
  .description('request the page list from the guest agent and summarise it')
  .requiredOption('--agent <path>', "the guest agent's socket on this host")
  .addOption(agentTimeoutOption())
  .addOption(
    new Option('--clean <how>', 'have the database write its dirty pages first')
      .choices(['none', 'checkpoint'])
      .default('none'),
  )
  .option('--explain', 'say in words how many pages are listed, and why others are not')
  .addOption(jsonOption().conflicts('explain'))
  .action(async (args: ListArguments) => {
    hearSignals();
    const { list, listBytes, timings } = await requestPageList(args.agent, {
      clean: args.clean,
      hotFirst: true,
      firstAnswerTimeoutMs: args.agentTimeout * 1000,
      signal: signals.signal,
    });
    if (args.explain === true) {
      await print(`${explanationOf(list).map(cleanText).join('\n')}\n`);
      return;
    }
    const summary = {
      pages: list.pageCount,
      cold_pages: list.runs.coldPages,
      heat_unknown: list.heatUnknown,
      runs: list.runs.length,
      list_bytes: listBytes,
      sources: list.sources,
      guest_ram: list.guestRam,
      server: list.server,
      left_out: list.leftOut,
      failures: list.failures,
      timings: { ...list.timings, ...timings },
    };
    await print(`${cleanJson(JSON.stringify(summary, undefined, args.json === true ? undefined : 2))}\n`);
  });

program
  .command('storage')
  .description(
    'open places of storage as the destination engine does, and say how large they are, or why it cannot',
  )
  .argument('<place...>', 'as --storage takes them, of disks')
  .addOption(jsonOption())
  .action(async (texts: readonly string[], args: CommonOptions) => {
    const onEvent = sink(args);
    for (const text of texts) {
      const { location } = parseStoragePlace(text);
      const sources = [{ kind: 'disk', disk: text } as const];
      const places = [{ name: text, location }];
      const { readers } = await openSources(sources, places, defaultLimits.storageMs, onEvent);
      if (readers.includes(undefined)) process.exitCode = exitCode.failed;
      for (const reader of readers) await reader?.close();
    }
  });

program
  .command('key')
  .description('make a key for --psk-file; copy it to both hosts, readable by the engines alone')
  .option('--out <file>', 'a new file, mode 0600 (default: standard output)')
  .action(async (args: { readonly out?: string }) => {
    await print(keyCommand(args.out));
  });

program
  .command('inspect-stream')
  .description("summarise a file that holds QEMU's migration stream")
  .argument('<file>')
  .addOption(jsonOption())
  .action(async (file: string, args: CommonOptions) => {
    const inspector = new StreamInspector();
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) {
      inspector.push(chunk as Buffer);
    }
    const summary = inspector.finish();
    await print(
      args.json === true
        ? `${cleanJson(JSON.stringify(summary))}\n`
        : formatSummary(summary).split('\n').map(cleanText).join('\n'),
    );
    const { end } = summary;
    if (end.is === 'truncated' || (end.is === 'unfilterable' && end.reason === 'not-a-stream'))
      process.exitCode = exitCode.failed;
  });

/** Node closes inherited descriptors but the first three when a program is started again. */
function restartUnlessKeyWouldBeLost({ pskFile }: PeerArguments): void {
  if (pskFile === undefined || (descriptorOf(pskFile) ?? 0) <= 2) restartWithAllocatorSettings();
}

/** Turns a reader's error into commander's. */
function argument<T>(read: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

function openRam(
  places: readonly GuestRamPlace[],
  mapText: (() => string | undefined) | undefined,
  onEvent: EventSink,
): OpenGuestRam {
  const ram = openGuestRam(places, mapText);
  for (const path of ram.readableByOthers) {
    const reason = `${path} holds the guest's memory, and other users of this host may read it: chmod 600`;
    onEvent({ event: 'warning', code: 'ram-readable-by-others', reason });
  }
  return ram;
}

/** A place that is named is opened as root; who listens on the socket is looked up when it is connected to. */
function targetRamOf({
  targetRam,
  incoming,
  user,
}: DestinationArguments): (() => TargetRamSource) | undefined {
  if (targetRam.kind === 'none') return undefined;
  const open = (): TargetRamSource => openTargetRam(targetRam, incoming);
  if (user === undefined || targetRam.kind === 'auto') return open;
  try {
    const opened = open();
    return () => opened;
  } catch (error) {
    // Said when it is needed.
    return () => {
      throw error;
    };
  }
}

/** Opened as root: the request of the list takes it over, and reports what is wrong with it. */
function openAgent(path: string): Socket {
  return connect(path).on('error', () => undefined);
}

/** So early that nothing else has begun when it is no place for a socket. */
async function checkSocketPath(path: string, onEvent: EventSink): Promise<void> {
  if (prepareSocketFolder(path).writableByOthers) {
    const reason = `other users may write to the folder of ${path}: use one of mode 700`;
    onEvent({ event: 'warning', code: 'folder-writable-by-others', reason });
  }
  await staleSocketAt(path);
}

function listRequest(
  args: SourceArguments,
  opened: Socket | undefined,
): ((signal: AbortSignal) => Promise<PageListAnswer>) | undefined {
  const { agent, agentTimeout, listFile, clean, strategy } = args;
  if (listFile !== undefined) {
    return async () => {
      const bytes = await readFile(listFile);
      const timings = { cleanMs: 0, agentMs: 0, sendMs: 0, decodeMs: 0, totalMs: 0 };
      return { list: await decodePageListInSlices(bytes), listBytes: bytes.length, timings };
    };
  }
  if (agent === undefined) return undefined;
  const options = {
    clean,
    // Where the VM moves when all is there, it does not matter what comes first, and storage is read in larger pieces without it.
    hotFirst: strategy === 'resume',
    firstAnswerTimeoutMs: agentTimeout * 1000,
    ...(opened && { opened }),
  };
  return (signal) => requestPageList(agent, { ...options, signal });
}

const signals = new AbortController();
const listeners: (() => void)[] = [];
const interrupts: Interrupts = {
  subscribe: (listener) => {
    hearSignals();
    listeners.push(listener);
  },
};

/**
 * From here on a signal ends what was begun, and with it the program. Before, it ends the program as it does others: what waits for a
 * pipe that nobody writes to comes back to none.
 */
function hearSignals(): void {
  if (listeners.length > 0) return;
  listeners.push(() => {
    signals.abort();
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      for (const listener of listeners) listener();
    });
}

// Where nobody listens to it Node opens its inspector, to whoever is on this host.
process.on('SIGUSR1', () => undefined);

/** SIGUSR1, or a line on standard input. */
function moveSignal(): Interrupts {
  return {
    subscribe: (listener) => {
      process.on('SIGUSR1', listener);
      // A terminal stops a program that reads it from the background.
      if (process.stdin.isTTY) return;
      createInterface({ input: process.stdin }).on('line', (line) => {
        if (line === 'move') listener();
      });
      // It does not keep the program from ending.
      if ('unref' in process.stdin) process.stdin.unref();
    },
  };
}

// A migration does not end because nobody reads its events any more.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const outputs: PatientOutput[] = [];

function sink(args: CommonOptions): EventSink {
  const stream = args.json === true ? process.stdout : process.stderr;
  const output = new PatientOutput(stream);
  outputs.push(output);
  const write = (text: string): void => {
    output.write(text);
  };
  const say = args.json === true ? jsonSink(write) : textSink(write, stream.isTTY ? stream : undefined);
  return (event) => {
    // Of a reader that lags, what is over is kept from nobody.
    if (event.event !== 'progress' || output.hasRoom) say(event);
  };
}

function exitStatus(result: EngineOutcome['result']): number {
  switch (result) {
    case 'migrated':
      return exitCode.migrated;
    case 'failed':
      return exitCode.failed;
    case 'cancelled':
      return exitCode.interrupted;
    case 'in-doubt':
      return exitCode.inDoubt;
    case 'incomplete':
      return exitCode.incomplete;
  }
}

try {
  await program.parseAsync();
} catch (error) {
  // commander has written its own errors already; help and version are no errors.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCode.usage;
  else {
    process.stderr.write(`poolshift-engine: ${cleanText((error as Error).message)}\n`);
    if (signals.signal.aborted) process.exitCode = exitCode.interrupted;
    else process.exitCode = isCoded(error, 'command') ? exitCode.usage : exitCode.failed;
  }
}

await Promise.all(outputs.map((output) => output.drained()));

/**
 * A read of storage that the kernel does not give back keeps a process of Node from ending, by process.exit() too. What there
 * was to say has been said by now.
 */
const hungMs = 5000;
setTimeout(() => process.kill(process.pid, 'SIGKILL'), hungMs).unref();
