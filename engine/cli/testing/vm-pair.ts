/** Two small QEMUs with the engines' command line between them, for tests that compare memory byte by byte. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PageList, pageSizeBytes } from '../../list/page-list.ts';
import { type GuestRamPlace, openGuestRam } from '../../source/guest-ram.ts';
import { encodePageList } from '../../list/page-list-codec.ts';
import type { EngineEvent } from '../../core/engine-event.ts';
import { Qemu } from '../../../qemu/qemu-process.ts';
import type { QemuInstallation } from '../../../qemu/installation.ts';
import type { MigrationCapability, MigrationParameters } from '../../../qemu/qmp/messages.ts';
import { makeKey, writeKey } from '../../wire/pre-shared-key.ts';
import { bootSector, type GuestProgram } from './guest-program.ts';
import { Keeper } from './keeper.ts';

/** Ends what hangs. */
const maxMigrationMs = 5 * 60_000;
const isCompleted = ({ status }: { readonly status?: string | undefined }): boolean => status === 'completed';

export interface PairOptions {
  readonly ramBytes: number;
  readonly diskBytes: number;
  readonly program: GuestProgram;
  /** Capabilities of both QEMUs. */
  readonly capabilities: readonly MigrationCapability[];
  readonly parameters?: MigrationParameters;
  /** Of the target, before it waits. */
  readonly targetParameters?: MigrationParameters;
  /** Default: a file that QEMU shares, as the source's. */
  readonly targetMemory?: 'file' | 'memfd' | 'anonymous';
  /** The target's memory has all its pages when it has started. */
  readonly targetPrefaults?: boolean;
  /** Whether the target starts its VM when it has everything. Default false: memory stays as it came. */
  readonly targetStarts?: boolean;
  /** Arguments that only one of the two QEMUs gets: a device that the other one lacks. */
  readonly arguments?: Readonly<Partial<Record<'source' | 'target', readonly string[]>>>;
  /**
   * Makes the image that both QEMUs have as their disk, with QEMU's locks, from the raw disk, and gives its path and format.
   * Default: the raw disk, without locks.
   */
  readonly image?: (disk: string) => { readonly file: string; readonly format: string };
  /** More memory than the first block, which has `ramBytes`: blocks that tests write and compare, too. */
  readonly blocks?: readonly {
    /** Of its memory backend. */
    readonly id: string;
    readonly bytes: number;
    /** Guest-physical address of its first byte. */
    readonly startBytes: number;
    /** The source gets it while it runs, from the test. */
    readonly pluggedIn?: boolean;
  }[];
  /** In place of `-m` and of ram0 as the machine's memory, which `blocks` may be a part of. */
  readonly memory?: readonly string[];
  /** Owner of all its files, where QEMU does not run as root. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** How an engine is started. */
interface EngineLaunch {
  /** What runs node, e.g. strace. */
  readonly prefix?: readonly string[];
  /** The engine's program. Default: the one of this checkout. */
  readonly program?: string;
  /** Added to the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

interface EnginePairOptions extends EngineLaunch {
  /** More arguments of each. */
  readonly source?: readonly string[];
  readonly destination?: readonly string[];
  readonly storage?: string;
  /** Default: the file behind the source's memory. */
  readonly ram?: string;
  /** Unix socket at which the destination engine finds the target: a proxy's. Default: the target's own. */
  readonly incoming?: string;
  /** How both engines know each other. Default: by a key of this pair's own. */
  readonly peers?: readonly string[];
  /** Where the source engine is to connect to reach the destination engine: a proxy in between. */
  readonly connect?: (address: string) => Promise<string>;
}

/** Pages of the disk that the guest has in memory: `count` blocks from `block` on lie from `page` on. */
export interface CachedRun {
  readonly block: number;
  readonly page: number;
  readonly count: number;
  /** Comes last in a list. */
  readonly cold?: boolean;
}

/** As the engine writes it with `--json`. */
type ReportedEvent = EngineEvent & { readonly t_ms: number; readonly time: string };

/** An engine as a child process, and what it has reported. */
export class EngineProcess {
  readonly events: ReportedEvent[] = [];
  readonly ended: Promise<number | undefined>;
  errors = '';
  readonly #child: ChildProcess;
  readonly #waiting: { readonly name: string; readonly resolve: () => void }[] = [];

  constructor(args: readonly string[], { prefix = [], program, environment }: EngineLaunch = {}) {
    const main = program ?? path.join(import.meta.dirname, '../main.ts');
    const [command, ...before] = [...prefix, process.execPath];
    this.#child = spawn(command, [...before, main, ...args, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.#child.stderr?.on('data', (text: Buffer) => (this.errors += text.toString()));
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => {
        const event = JSON.parse(line) as ReportedEvent;
        this.events.push(event);
        for (const { name, resolve } of this.#waiting) if (name === event.event) resolve();
      });
    }
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code) => {
        resolve(code ?? undefined);
      });
    });
  }

  /** Waits for the first event of this name. */
  async event<N extends EngineEvent['event']>(name: N): Promise<Extract<EngineEvent, { event: N }>> {
    const find = (): EngineEvent | undefined => this.events.find(({ event }) => event === name);
    if (find() === undefined) {
      const arrived = new Promise<boolean>((resolve) => {
        this.#waiting.push({
          name,
          resolve: () => {
            resolve(true);
          },
        });
      });
      if (!(await Promise.race([arrived, this.ended.then(() => false)])) && find() === undefined) {
        throw new Error(
          `the engine ended before "${name}": ${this.errors} ${JSON.stringify(this.events.at(-1))}`,
        );
      }
    }
    return find() as Extract<EngineEvent, { event: N }>;
  }

  /** The last that were reported. */
  get lastCounters(): Extract<ReportedEvent, { readonly event: 'progress' | 'done' }> {
    const last = this.events.findLast(({ event }) => event === 'progress' || event === 'done');
    if (last?.event !== 'progress' && last?.event !== 'done') throw new Error('no counters');
    return last;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The signal that ended it; undefined while it runs, or when it exited. */
  get endedBy(): NodeJS.Signals | undefined {
    return this.#child.signalCode ?? undefined;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** Arguments of a VM whose stream cannot be filtered: virtio-mem's state comes before RAM is complete. */
export const withVirtioMem: readonly string[] = [
  ...['-m', 'maxmem=2G', '-object', 'memory-backend-ram,id=plugged,size=256M'],
  ...['-device', 'virtio-mem-pci,memdev=plugged,requested-size=0'],
];

/** A file of each side's memory. */
interface MemoryPart {
  path(side: string): string;
  /** Guest-physical address. */
  readonly startBytes: number;
  readonly bytes: number;
}

/** In the environment of all processes of a pair: its folder. */
const pairMarker = 'POOLSHIFT_PAIR';

export class VmPair {
  readonly folder: string;
  /** How this pair's processes are started: they end with the process that has made the pair, and its files go. */
  readonly installation: QemuInstallation;
  readonly options: PairOptions;
  readonly source: Qemu;
  readonly target: Qemu;
  readonly #engines: { source?: EngineProcess; destination?: EngineProcess } = {};
  readonly #keeper: Keeper;

  private constructor(
    folder: string,
    installation: QemuInstallation,
    keeper: Keeper,
    options: PairOptions,
    source: Qemu,
    target: Qemu,
  ) {
    this.folder = folder;
    this.installation = installation;
    this.#keeper = keeper;
    this.options = options;
    this.source = source;
    this.target = target;
  }

  static async start(qemu: QemuInstallation, options: PairOptions): Promise<VmPair> {
    // The RAM files lie in memory, the disk where O_DIRECT works.
    const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-pair-'));
    const installation = { ...qemu, environment: { ...qemu.environment, [pairMarker]: folder } };
    const ids = options.blocks?.map(({ id }) => id);
    const keeper = Keeper.start({ marker: `${pairMarker}=${folder}`, files: filesOf(folder, ids) });
    // Every block is another one, and compresses to about a half, as a database's do.
    const disk = randomFillSync(Buffer.allocUnsafeSlow(options.diskBytes)).map(
      (byte) => byte & 0x0f,
    ) as Buffer;
    bootSector(options.program).copy(disk);
    writeFileSync(path.join(folder, 'disk'), disk);
    const backendOf = (side: 'source' | 'target'): string => {
      const kind = side === 'target' ? options.targetMemory : undefined;
      if (kind === 'memfd') return 'memory-backend-memfd,share=on';
      if (kind === 'anonymous') return 'memory-backend-ram';
      return `memory-backend-file,share=on,mem-path=${ramPath(folder, side)}`;
    };
    const image = options.image?.(path.join(folder, 'disk'));
    const drive =
      image === undefined
        ? `file=${path.join(folder, 'disk')},format=raw,if=ide,file.locking=off`
        : `file=${image.file},format=${image.format},if=ide,id=disk0`;
    const prefaultsOf = (side: 'source' | 'target'): string =>
      side === 'target' && options.targetPrefaults === true ? ',prealloc=on' : '';
    const machine = (side: 'source' | 'target'): string[] => [
      ...[
        '-machine',
        options.memory === undefined ? 'q35,graphics=off,memory-backend=ram0' : 'q35,graphics=off',
        '-accel',
        'tcg',
        '-cpu',
        'qemu64',
        '-vga',
        'none',
      ],
      ...['-object', `${backendOf(side)},id=ram0,size=${options.ramBytes}B${prefaultsOf(side)}`],
      ...(options.blocks ?? []).flatMap(({ id, bytes, pluggedIn }) =>
        pluggedIn === true && side === 'source' ? [] : ['-object', backendArgument(folder, side, bytes, id)],
      ),
      ...(options.memory ?? ['-m', `${options.ramBytes}B`]),
      ...['-drive', drive],
      ...(options.arguments?.[side] ?? []),
    ];
    for (const side of ['source', 'target']) {
      // QEMU makes it readable for everybody where it is not there (system/physmem.c, file_ram_open).
      writeFileSync(ramPath(folder, side), '', { mode: 0o600, flag: 'wx' });
      truncateSync(ramPath(folder, side), options.ramBytes);
    }
    for (const { id, bytes } of options.blocks ?? [])
      for (const side of ['source', 'target']) {
        writeFileSync(ramPath(folder, side, id), '', { mode: 0o600, flag: 'wx' });
        truncateSync(ramPath(folder, side, id), bytes);
      }
    if (options.owner !== undefined) {
      const { uid, gid } = options.owner;
      const files = [folder, path.join(folder, 'disk'), ramPath(folder, 'source'), ramPath(folder, 'target')];
      for (const file of files) chownSync(file, uid, gid);
    }
    const paused = options.targetStarts === true ? [] : ['-S'];
    const started = await Promise.allSettled([
      Qemu.start(installation, machine('source')),
      Qemu.start(installation, [...machine('target'), '-incoming', 'defer', ...paused]),
    ]);
    const [source, target] = started;
    if (source.status === 'rejected' || target.status === 'rejected') {
      for (const side of started) if (side.status === 'fulfilled') await side.value.stop();
      removeFiles(folder, ids);
      keeper.release();
      const failed = started.find((side) => side.status === 'rejected');
      throw new Error('QEMU does not start', { cause: failed?.reason });
    }
    const pair = new VmPair(folder, installation, keeper, options, source.value, target.value);
    try {
      await pair.#prepare();
    } catch (error) {
      await pair.stop();
      throw error;
    }
    return pair;
  }

  async #prepare(): Promise<void> {
    const { capabilities, parameters, targetParameters } = this.options;
    for (const qemu of [this.source, this.target]) await qemu.setCapabilities(['events', ...capabilities]);
    await this.source.execute('migrate-set-parameters', { 'max-bandwidth': 10e9, ...parameters });
    if (targetParameters !== undefined) await this.target.execute('migrate-set-parameters', targetParameters);
    await this.target.execute('migrate-incoming', { uri: `unix:${this.incomingPath}` });
    await this.#untilGuestRuns();
  }

  /** Waits until the boot sector's program has changed the first of its pages. */
  async #untilGuestRuns(): Promise<void> {
    const deadline = performance.now() + 30_000;
    const word = Buffer.alloc(4);
    const ram = openSync(ramPath(this.folder, 'source'), 'r');
    try {
      while (word.readUInt32LE() === 0) {
        if (performance.now() > deadline) throw new Error('the guest program does not start');
        await sleep(50);
        readSync(ram, word, 0, word.length, this.options.program.startBytes);
      }
    } finally {
      closeSync(ram);
    }
  }

  /** Those that were started, even where `startEngines` has failed. */
  get engines(): Readonly<Partial<Record<'source' | 'destination', EngineProcess>>> {
    return this.#engines;
  }

  get diskPath(): string {
    return path.join(this.folder, 'disk');
  }

  /** Unix socket on which the target waits. */
  get incomingPath(): string {
    return path.join(this.folder, 'incoming');
  }

  /** Unix socket on which the source engine waits for QEMU. */
  get outgoingPath(): string {
    return path.join(this.folder, 'outgoing');
  }

  /** Puts blocks of the disk into the source's memory, as if the guest had read them. */
  cache(runs: readonly CachedRun[]): void {
    const disk = openSync(this.diskPath, 'r');
    const parts = this.#parts.map((part) => ({ ...part, file: openSync(part.path('source'), 'r+') }));
    for (const { block, page, count } of runs) {
      const content = Buffer.allocUnsafe(count * pageSizeBytes);
      readSync(disk, content, 0, content.length, block * pageSizeBytes);
      const at = page * pageSizeBytes;
      const part = parts.find(({ startBytes, bytes }) => at >= startBytes && at < startBytes + bytes);
      if (part === undefined) throw new Error(`page ${page} is no memory`);
      writeSync(part.file, content, 0, content.length, at - part.startBytes);
    }
    closeSync(disk);
    for (const { file } of parts) closeSync(file);
  }

  /** Files of the memory. */
  get #parts(): readonly MemoryPart[] {
    const { blocks = [], ramBytes } = this.options;
    const first = { path: (side: string) => ramPath(this.folder, side), startBytes: 0, bytes: ramBytes };
    return [
      first,
      ...blocks.map(({ id, startBytes, bytes }) => ({
        path: (side: string) => ramPath(this.folder, side, id),
        startBytes,
        bytes,
      })),
    ];
  }

  /** Starts both engines; the source's listens when this settles. */
  async startEngines(
    list: PageList | undefined,
    args: EnginePairOptions = {},
  ): Promise<{ source: EngineProcess; destination: EngineProcess }> {
    const launch = { ...args, environment: { ...args.environment, [pairMarker]: this.folder } };
    const peers = args.peers ?? ['--psk-file', this.#keyFile()];
    const destination = new EngineProcess(
      [
        ...[
          'destination',
          '--listen',
          '127.0.0.1:0',
          '--incoming',
          `unix:${args.incoming ?? this.incomingPath}`,
        ],
        ...['--storage', args.storage ?? this.diskPath, ...peers, ...(args.destination ?? [])],
      ],
      launch,
    );
    this.#engines.destination = destination;
    const { address } = await destination.event('listening');
    const listArguments: string[] = [];
    if (list !== undefined) {
      const file = path.join(this.folder, 'list');
      writeFileSync(file, encodePageList(list));
      const ram = args.ram ?? `file:${ramPath(this.folder, 'source')}`;
      listArguments.push('--list-file', file, '--ram', ram);
    }
    const connect = (await args.connect?.(address)) ?? address;
    const source = new EngineProcess(
      [
        ...['source', '--listen', `unix:${this.outgoingPath}`, '--connect', connect, ...peers],
        ...listArguments,
        ...(args.source ?? []),
      ],
      launch,
    );
    this.#engines.source = source;
    await source.event('listening');
    return { source, destination };
  }

  #keyFile(): string {
    const file = path.join(this.folder, 'key');
    if (existsSync(file)) return file;
    writeKey(file, makeKey());
    const { owner } = this.options;
    if (owner !== undefined) chownSync(file, owner.uid, owner.gid);
    return file;
  }

  /** Commands the migration, to the source engine's socket or to a proxy's before it. */
  async migrate(outgoing = this.outgoingPath): Promise<void> {
    await this.source.execute('migrate', { uri: `unix:${outgoing}` });
  }

  /**
   * Waits until both QEMUs have completed the migration, and both engines have ended.
   * @throws Error with what the engines said last, if one of them failed or the source did not come to its end
   */
  async completed(): Promise<void> {
    const engines = Object.values(this.#engines);
    await this.source.waitForMigration(isCompleted, maxMigrationMs).catch((cause: unknown) => {
      const said = engines.map(({ events }) => JSON.stringify(events.slice(-3)));
      throw new Error(`the source QEMU did not complete; the engines said ${said.join(' and ')}`, { cause });
    });
    await this.target.waitForMigration(isCompleted, maxMigrationMs);
    for (const engine of engines) {
      const code = await engine.ended;
      if (code !== 0)
        throw new Error(`an engine ended with ${code}: ${JSON.stringify(engine.events.at(-1))}`);
    }
  }

  /**
   * Pages that differ between the two memories, apart from the word that the guest program counts up: under TCG, QEMU's
   * dirty log now and then misses such a write, engine or not. Both VMs must be stopped.
   */
  differingPages(): number[] {
    return this.#parts.flatMap((part) => this.#differingIn(part));
  }

  #differingIn(part: MemoryPart): number[] {
    const { startBytes, endBytes, strideBytes } = this.options.program;
    const { targetMemory = 'file' } = this.options;
    const places: readonly GuestRamPlace[] = [
      { kind: 'file', path: part.path('source') },
      targetMemory === 'file'
        ? { kind: 'file', path: part.path('target') }
        : { kind: 'pid', pid: this.target.pid ?? 0 },
    ];
    const opened = places.map((place) => openGuestRam([place]));
    const pageCount = part.bytes / pageSizeBytes;
    const block = { index: 0, name: 'ram', lengthBytes: part.bytes, pageCount };
    const [source, target] = opened.map((ram) => ram.block(block, [block]));
    const first = Buffer.allocUnsafe(1 << 20);
    const second = Buffer.allocUnsafe(1 << 20);
    const differing: number[] = [];
    for (let at = 0; at < part.bytes; at += first.length) {
      source?.read(at / pageSizeBytes, first.length / pageSizeBytes, first, 0);
      target?.read(at / pageSizeBytes, second.length / pageSizeBytes, second, 0);
      if (first.equals(second)) continue;
      for (let page = 0; page < first.length; page += pageSizeBytes) {
        const end = page + pageSizeBytes;
        const address = part.startBytes + at + page;
        const counts =
          address >= startBytes && address < endBytes && (address - startBytes) % strideBytes === 0;
        if (counts) first.copy(second, page, page, page + 4);
        if (first.compare(second, page, end, page, end) !== 0) differing.push(address / pageSizeBytes);
      }
    }
    for (const ram of opened) ram.close();
    return differing;
  }

  /** Ends everything and removes its files. Idempotent. */
  async stop(): Promise<void> {
    const engines = Object.values(this.#engines);
    for (const engine of engines) engine.kill('SIGKILL');
    await Promise.all([this.source.stop(), this.target.stop(), ...engines.map(({ ended }) => ended)]);
    removeFiles(
      this.folder,
      this.options.blocks?.map(({ id }) => id),
    );
    this.#keeper.release();
  }
}

/** Starts a pair for `body`, and stops it however that ends. */
export async function withVmPair(
  installation: QemuInstallation | undefined,
  options: PairOptions,
  body: (pair: VmPair) => Promise<void>,
): Promise<void> {
  if (installation === undefined) throw new Error('no QEMU');
  const pair = await VmPair.start(installation, options);
  try {
    await body(pair);
  } finally {
    await pair.stop();
  }
}

function filesOf(folder: string, ids: readonly string[] = []): readonly string[] {
  return [
    folder,
    ...['ram0', ...ids].flatMap((id) => ['source', 'target'].map((side) => ramPath(folder, side, id))),
  ];
}

function removeFiles(folder: string, ids?: readonly string[]): void {
  for (const file of filesOf(folder, ids)) rmSync(file, { recursive: true, force: true });
}

/** The file behind the memory of one side; of its first block unless another is named. */
export function ramPath(folder: string, side: string, id = 'ram0'): string {
  return path.join('/dev/shm', `${path.basename(folder)}-${side}${id === 'ram0' ? '' : `-${id}`}`);
}

/** Of `-object`, for the file at `ramPath`. */
export function backendArgument(folder: string, side: string, bytes: number, id = 'ram0'): string {
  return `memory-backend-file,id=${id},size=${bytes}B,share=on,mem-path=${ramPath(folder, side, id)}`;
}

/** A list that names `runs` of the VM's only disk. */
export function listOf(runs: readonly CachedRun[], ramBytes: number): PageList {
  const sorted = [...runs].sort(
    (a, b) => Number(a.cold === true) - Number(b.cold === true) || a.block - b.block,
  );
  return {
    sources: [{ kind: 'disk', disk: 'vda' }],
    runs: {
      firstColdRun: sorted.filter(({ cold }) => cold !== true).length,
      sourceIndex: new Uint16Array(sorted.length),
      storageBlock: Uint32Array.from(sorted, ({ block }) => block),
      guestFrame: Uint32Array.from(sorted, ({ page }) => page),
      count: Uint16Array.from(sorted, ({ count }) => count),
    },
    pageCount: sorted.reduce((sum, { count }) => sum + count, 0),
    guestRam: [[1, ramBytes / pageSizeBytes - 1]],
    timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
    leftOut: {},
    failures: [],
    server: {
      product: 'other',
      version: 'test',
      method: 'scan',
      cachedPages: 0,
      dirtyPages: 0,
      excludedPages: 0,
    },
  };
}
