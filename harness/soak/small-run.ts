/** One run with two small VMs: set-up, the fault, the manager, and the history of it all. */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { nbdLocation, startNbdServer, type NbdServer } from '../../engine/cli/testing/nbd-server.ts';
import { EngineProcess, listOf, VmPair } from '../../engine/cli/testing/vm-pair.ts';
import type { Qemu } from '../../qemu/qemu-process.ts';
import type { MigrationCapability } from '../../qemu/qmp/messages.ts';
import type { QemuInstallation } from '../../qemu/installation.ts';
import { postcopyAlways } from '../../qemu/qmp/early-resume.ts';
import { EarlyManager } from './early-manager.ts';
import type { EngineHistory, History, VmHistory } from './history.ts';
import { runsOf } from './history.ts';
import { Injector, placesOf } from './inject.ts';
import { ask, Manager } from './manager.ts';
import {
  diskBytes,
  type ListedRuns,
  listedRuns,
  type PlaceName,
  type ProcessName,
  type SmallPlan,
} from './plan.ts';
import { Relay } from './relay.ts';

export interface SmallRunTools {
  readonly qemus: readonly QemuInstallation[];
  /** The engine as one file: it starts in a fraction of the time. */
  readonly engineProgram: string;
}

/** An engine may take so long after the fault's effect is over, or altogether, before it counts as hanging. */
const limitMs = 45_000;
/** What an engine that ends leaves to others is gone by then. */
const settleMs = 200;

const capabilities: Readonly<Record<SmallPlan['capabilities'], readonly MigrationCapability[]>> = {
  'switchover-ack': ['return-path', 'switchover-ack'],
  'return-path': ['return-path'],
  none: [],
  'postcopy-ram': ['return-path', 'switchover-ack', 'postcopy-ram'],
  'postcopy-preempt': ['return-path', 'switchover-ack', 'postcopy-ram', 'postcopy-preempt'],
};

/** In the environment of the engines and of all that they start. */
const marker = 'POOLSHIFT_SOAK_RUN';

/** @throws Error when the run could not be made, for a reason that is none of the engine's */
export async function runSmall(
  plan: SmallPlan,
  { qemus, engineProgram }: SmallRunTools,
  signal: AbortSignal,
): Promise<History> {
  const installation = qemus[plan.qemu % qemus.length];
  if (installation === undefined) throw new Error('no QEMU');
  const startedMs = Date.now();
  const pair = await VmPair.start(installation, {
    ramBytes: plan.ramBytes,
    diskBytes,
    program: plan.program,
    capabilities: capabilities[plan.capabilities],
    ...(plan.strategy === 'resume' ? { parameters: postcopyAlways } : {}),
    targetStarts: plan.target === 'auto-start',
    arguments: plan.fault.kind === 'missing-device' ? { source: ['-device', 'virtio-rng-pci'] } : {},
  });
  const run = new SmallRun(plan, pair, startedMs);
  try {
    return await run.run(engineProgram, signal);
  } finally {
    await run.close();
  }
}

class SmallRun {
  readonly #plan: SmallPlan;
  readonly #pair: VmPair;
  readonly #startedMs: number;
  readonly #relays = new Map<PlaceName, Relay>();
  #nbd: NbdServer | undefined;
  #injector: Injector | undefined;
  readonly #vmEndedMs = new Map<Qemu, number>();

  constructor(plan: SmallPlan, pair: VmPair, startedMs: number) {
    this.#plan = plan;
    this.#pair = pair;
    this.#startedMs = startedMs;
    for (const qemu of [pair.source, pair.target])
      void qemu.ended.then(() => this.#vmEndedMs.set(qemu, Date.now()));
  }

  async run(program: string, signal: AbortSignal): Promise<History> {
    const { folder, source: qemu, target } = this.#pair;
    const places = placesOf(this.#plan.fault);
    const { beforeSwitchPercent, linkBytesPerSecond } = this.#plan;
    const isEarly = this.#plan.strategy === 'resume';
    const relayed = async (place: PlaceName, to: string): Promise<string> => {
      if (!places.has(place)) return to;
      const relay = await Relay.start({ path: to }, path.join(folder, `${place}-relay`));
      this.#relays.set(place, relay);
      return relay.address;
    };
    const listed = listedRuns(this.#plan);
    if (listed !== undefined) {
      this.#pair.cache([...listed.right, ...listed.stale]);
      overwrite(this.#pair.diskPath, listed.stale);
    }
    const storage = await this.#startStorage(relayed);
    const outgoing = await relayed('outgoing', this.#pair.outgoingPath);
    const incoming = await relayed('incoming', this.#pair.incomingPath);
    const temporary = path.join(folder, 'tmp');
    mkdirSync(temporary);
    const injectorReady = Promise.withResolvers<Injector>();
    const connect = async (address: string): Promise<string> => {
      if (places.has('link') || linkBytesPerSecond !== undefined) {
        const [host = '', port = ''] = address.split(':');
        const relay = await Relay.start({ host, port: Number(port) });
        relay.limit(linkBytesPerSecond);
        this.#relays.set('link', relay);
      }
      injectorReady.resolve(this.#arm());
      return this.#relays.get('link')?.address ?? address;
    };
    let started: { source: EngineProcess; destination: EngineProcess } | undefined;
    try {
      started = await this.#pair.startEngines(
        listed === undefined
          ? undefined
          : listOf(
              // As of a guest that uses two in three: what it does not use comes last.
              [...listed.right, ...listed.wrong, ...listed.stale].map((run, index) => ({
                ...run,
                cold: index % 3 === 2,
              })),
              this.#plan.ramBytes,
            ),
        {
          program,
          environment: { [marker]: folder, TMPDIR: temporary },
          storage,
          incoming,
          connect,
          // Where a relay stands before the target, its socket leads to the relay's process.
          destination: ['--target-ram', `pid:${target.pid ?? 0}`],
          source: [
            ...['--strategy', this.#plan.strategy, '--compress', this.#plan.compress],
            ...(beforeSwitchPercent === undefined ? [] : ['--before-switch', String(beforeSwitchPercent)]),
            ...(listed === undefined ? [] : ['--list-at', this.#plan.listAt]),
            ...(this.#plan.strategy === 'balance' ? ['--leave-out', this.#plan.leaveOut] : []),
          ],
        },
      );
    } catch (error) {
      // The fault may lie before the source engine listens; without one, this is no run.
      if (this.#injector?.doneAtMs === undefined) throw error;
    }
    const engines = this.#pair.engines;
    const { source, destination } = engines;
    if (source === undefined || destination === undefined) throw new Error('an engine did not start');
    const injector = await injectorReady.promise;
    const manager = isEarly
      ? new EarlyManager(this.#pair, { source, destination }, () => this.#recover(program))
      : new Manager(this.#pair, { source, destination }, this.#memoryIsComparable);
    if (started !== undefined) {
      await this.#pair.migrate(outgoing).catch(() => undefined);
      if (isEarly) await qemu.execute('migrate-start-postcopy').catch(() => undefined);
      injector.start({ source, destination });
    }
    const beganMs = performance.now();
    await manager.run(() => !signal.aborted && performance.now() - (injector.endedAtMs ?? beganMs) < limitMs);
    signal.throwIfAborted();
    await injector.stop();
    await sleep(settleMs);
    const [sourceEnd, destinationEnd] = await Promise.all([endOf(source), endOf(destination)]);
    return {
      fault: this.#plan.fault,
      faultAtMs: injector.doneAtMs,
      source: engineHistory(source, sourceEnd),
      destination: engineHistory(destination, destinationEnd),
      sourceVm: await this.#vmHistory(qemu, true),
      targetVm: await this.#vmHistory(target, false),
      targetHasVm: manager.targetHasVm,
      resolution: manager.resolution,
      continuedAtSource: manager.continuedAtSource,
      differingPages: manager.differingPages,
      ...(isEarly ? { early: { recovered: manager instanceof EarlyManager && manager.recovered } } : {}),
      leftovers: this.#leftovers(temporary),
    };
  }

  /** Tells the target to wait, and brings what it misses. Returns whether it has everything then. */
  async #recover(program: string): Promise<boolean> {
    const { target, folder, outgoingPath } = this.#pair;
    const socket = path.join(folder, `recovery-${randomBytes(4).toString('hex')}`);
    try {
      await target.execute('migrate-recover', { uri: `unix:${socket}` }, { outOfBand: true });
    } catch {
      return false;
    }
    const recovery = new EngineProcess(
      ['recover', `${outgoingPath}.recovery`, '--target', `unix:${socket}`],
      {
        program,
        environment: { [marker]: folder },
      },
    );
    return (await recovery.ended) === 0;
  }

  async #startStorage(relayed: (place: PlaceName, to: string) => Promise<string>): Promise<string> {
    const { storage } = this.#plan;
    const { diskPath, folder, installation } = this.#pair;
    if (storage.kind === 'file') return diskPath;
    const socket = path.join(folder, 'nbd');
    this.#nbd = await startNbdServer(installation, diskPath, socket, storage.bytesPerSecond);
    return nbdLocation(await relayed('storage', socket));
  }

  #arm(): Injector {
    const pids: Readonly<Record<ProcessName, () => number | undefined>> = {
      'source-engine': () => this.#pair.engines.source?.pid,
      'destination-engine': () => this.#pair.engines.destination?.pid,
      'source-qemu': () => this.#pair.source.pid,
      'target-qemu': () => this.#pair.target.pid,
      storage: () => this.#nbd?.pid,
    };
    this.#injector = new Injector(this.#plan.fault, {
      conduits: this.#relays,
      signal: (name, signal) => {
        const pid = pids[name]();
        try {
          return pid !== undefined && process.kill(pid, signal);
        } catch {
          // It has ended.
          return false;
        }
      },
      qemu: this.#pair.source,
    });
    return this.#injector;
  }

  /** After a reset, firmware writes memory; a target that starts by itself is compared after it has run. */
  get #memoryIsComparable(): boolean {
    const { fault, target } = this.#plan;
    return !(fault.kind === 'action' && fault.action.kind === 'reset' && target === 'auto-start');
  }

  async #vmHistory(qemu: Qemu, startedRunning: boolean): Promise<VmHistory> {
    const status = await ask(qemu, 'query-status');
    const endedMs = this.#vmEndedMs.get(qemu);
    const migration = await ask(qemu, 'query-migrate');
    return {
      runs: runsOf(qemu.events, startedRunning ? this.#startedMs : undefined, endedMs),
      status,
      migration,
    };
  }

  /** What the engines should have taken with them. One that was killed cannot remove files, but nothing of it may run. */
  #leftovers(temporary: string): readonly string[] {
    const { source, destination } = this.#pair.engines;
    const processes = processesWith(`${marker}=${this.#pair.folder}`).map((name) => `process ${name}`);
    const killed = (engine: EngineProcess | undefined): boolean => engine?.endedBy === 'SIGKILL';
    if (killed(source) || killed(destination)) return processes;
    const files = readdirSync(temporary).map((name) => `file ${name}`);
    const socket = existsSync(this.#pair.outgoingPath) ? ['socket of the source engine'] : [];
    return [...processes, ...files, ...socket];
  }

  async close(): Promise<void> {
    await this.#injector?.stop();
    for (const relay of this.#relays.values()) relay.close();
    await this.#pair.stop();
    await this.#nbd?.stop();
  }
}

/** The disk has other content there from now on. */
function overwrite(disk: string, runs: ListedRuns['stale']): void {
  const file = openSync(disk, 'r+');
  for (const { block, count } of runs)
    writeSync(file, randomBytes(count * 4096), 0, count * 4096, block * 4096);
  closeSync(file);
}

/** Exit status, or what else became of it. */
function endOf(engine: EngineProcess): Promise<EngineHistory['end']> {
  const ended = engine.ended.then((code) => code ?? engine.endedBy ?? 'limit');
  return Promise.race([ended, sleep(0, 'limit' as const)]);
}

function engineHistory(engine: EngineProcess, end: EngineHistory['end']): EngineHistory {
  return {
    end,
    events: engine.events
      .filter(({ event }) => event !== 'progress')
      .map((event) => ({
        event: event.event,
        atMs: Date.parse(event.time),
        ...('code' in event ? { code: event.code } : {}),
        ...('reason' in event ? { reason: event.reason } : {}),
      })),
    errors: engine.errors,
  };
}

/** Commands of the processes whose environment has this entry. */
function processesWith(entry: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
        if (!environment.includes(entry)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()];
      } catch {
        // It has ended meanwhile, or is another user's.
        return [];
      }
    });
}
