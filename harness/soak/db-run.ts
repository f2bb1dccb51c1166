/** One run with a database in the lab: load, a migration, the fault, the manager, and the history of it all. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Recorder, startRecorder } from '../probes/recorder-process.ts';
import { bringEngineKey, type EngineKey } from '../run/migration/engine-key.ts';
import { compareRam } from '../run/ram-comparison.ts';
import { firstVm } from '../vm/vm-place.ts';
import { checkLedger } from '../workload/ledger-check.ts';
import { sysbenchCommand } from '../workload/sysbench.ts';
import { checkTables } from '../workload/table-check.ts';
import { endOf } from './checker.ts';
import { dbLinkBitsPerSecond, type DbLab, dbRowsPerTable, dbTables } from './db-lab.ts';
import type { DbPlan } from './db-plan.ts';
import type { DatabaseHistory, History } from './history.ts';
import { Injector } from './inject.ts';
import { LabEngine } from './lab-engine.ts';
import { LabLink } from './lab-link.ts';
import type { LabVm } from './lab-vm.ts';
import { Manager } from './manager.ts';
import type { PlaceName, ProcessName } from './plan.ts';

const folder = '/run/poolshift/soak';
const outgoingSocket = `${folder}/outgoing.sock`;
const incomingSocket = `${folder}/incoming.sock`;
const { ledgerFile } = firstVm;
const pidFiles = { source: `${folder}/source.pid`, destination: `${folder}/destination.pid` } as const;
/** In the environment of the engines and of all that they start. */
const marker = 'POOLSHIFT_SOAK_RUN=db';

const engineStartMs = 30_000;
/** Shorter than usual, so that a link that is gone does not take a run five minutes. */
const limits = { stallSeconds: 20, switchoverSeconds: 10, storageSeconds: 10, agentSeconds: 40 };
/** An engine may take so long after the fault's effect is over, or altogether, before it counts as hanging. */
const limitMs = 120_000;
/** A guest that dirties its memory faster than the link carries it gets all the downtime that it needs from here on. */
const patienceMs = 40_000;
const settleMs = 300;
/** A client of an emulated guest is served again by then, whatever its connection went through. */
const serves = { withinMs: 90_000, pollMs: 250 };
const loadSeconds = 3600;

const capabilityNames = {
  'switchover-ack': ['return-path', 'switchover-ack'],
  'return-path': ['return-path'],
  none: [],
} as const;

/** @throws Error when the run could not be made, for a reason that is none of the engine's */
export async function runDb(plan: DbPlan, lab: DbLab, signal: AbortSignal): Promise<History> {
  const run = new DbRun(plan, lab, signal);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

class DbRun {
  readonly #plan: DbPlan;
  readonly #lab: DbLab;
  readonly #signal: AbortSignal;
  readonly #links: ReadonlyMap<PlaceName, LabLink>;
  #recorder: Recorder | undefined;
  #acknowledged = 0;
  #injector: Injector | undefined;
  #key: EngineKey | undefined;
  #engines: readonly LabEngine[] = [];

  constructor(plan: DbPlan, lab: DbLab, signal: AbortSignal) {
    this.#plan = plan;
    this.#lab = lab;
    this.#signal = signal;
    const { testbed, shells } = lab;
    this.#links = new Map([
      ['link', new LabLink(testbed, 'migration', 'src', shells.src)],
      ['storage', new LabLink(testbed, 'storage', 'dst', shells.dst)],
    ]);
  }

  async run(): Promise<History> {
    const { fault, beforeMs } = this.#plan;
    const { source: sourceVm, target: targetVm } = await this.#lab.startVms({
      targetLacksDevice: fault.kind === 'missing-device',
      signal: this.#signal,
    });
    await this.#startLoad();
    await this.#until(() => this.#acknowledged > 0);
    if (this.#acknowledged === 0) throw new Error('no commit was acknowledged before the migration');
    await sleep(beforeMs, undefined, { signal: this.#signal });

    const { source, destination } = await this.#startEngines(sourceVm, targetVm);
    const injector = new Injector(fault, {
      conduits: this.#links,
      signal: this.#signaller(source, destination),
      qemu: sourceVm,
    });
    this.#injector = injector;
    const compares = this.#plan.comparesRam;
    const manager = new Manager(
      { source: sourceVm, target: targetVm, differingPages: () => this.#differingPages(sourceVm) },
      { source, destination },
      compares,
    );
    await sourceVm.qmp.execute('migrate', { uri: `unix:${outgoingSocket}` });
    injector.start({ source, destination });
    const converges = setTimeout(() => {
      sourceVm.qmp.execute('migrate-set-parameters', { 'downtime-limit': 60_000 }).catch(() => undefined);
    }, patienceMs);
    const beganMs = performance.now();
    await manager.run(
      () => !this.#signal.aborted && performance.now() - (injector.endedAtMs ?? beganMs) < limitMs,
    );
    clearTimeout(converges);
    this.#signal.throwIfAborted();
    await injector.stop();
    for (const link of this.#links.values()) await link.resume();
    await sleep(settleMs);

    const history: History = {
      fault,
      faultAtMs: injector.doneAtMs,
      source: { end: source.end, events: source.events, errors: '' },
      destination: { end: destination.end, events: destination.events, errors: '' },
      sourceVm: await sourceVm.history(),
      targetVm: await targetVm.history(),
      targetHasVm: manager.targetHasVm,
      resolution: manager.resolution,
      continuedAtSource: manager.continuedAtSource,
      differingPages: manager.differingPages,
      leftovers: await this.#leftovers(source, destination),
    };
    const database = await this.#database(endOf(history));
    return {
      ...history,
      source: { ...history.source, errors: await source.errors() },
      destination: { ...history.destination, errors: await destination.errors() },
      ...(database === undefined ? {} : { database }),
    };
  }

  async #startLoad(): Promise<void> {
    const { testbed, server, deploy, recorder } = this.#lab;
    const command = sysbenchCommand({
      script: 'oltp_read_write',
      server,
      data: { kind: 'oltp', tables: dbTables, rowsPerTable: dbRowsPerTable },
      threads: 2,
      rateTps: this.#plan.rateTps,
      timeSeconds: loadSeconds,
      seed: this.#plan.seed,
    });
    this.#recorder = startRecorder(
      testbed.hosts.client,
      [
        { probe: 'ledger', server, file: ledgerFile },
        { probe: 'lines', name: 'sysbench', command },
      ],
      (report) => {
        if (report.report === 'ledger') this.#acknowledged = report.acknowledged;
      },
      await deploy(recorder, 'client'),
    );
  }

  /** Waits for as long as a client may have to. */
  async #until(isSo: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + serves.withinMs;
    while (!isSo() && performance.now() < deadlineMs)
      await sleep(serves.pollMs, undefined, { signal: this.#signal });
  }

  async #startEngines(
    sourceVm: LabVm,
    targetVm: LabVm,
  ): Promise<{ readonly source: LabEngine; readonly destination: LabEngine }> {
    const { testbed, shells, deploy, engine, disk } = this.#lab;
    const { strategy, compress, listAt, leaveOut, ram, capabilities } = this.#plan;
    const { src, dst } = testbed.hosts;
    for (const host of [src, dst]) await host.run(`rm -rf ${folder}; install -d -m 700 ${folder}/tmp`);
    this.#key = await bringEngineKey(testbed);
    const common = `--psk-file ${this.#key.path} --vm soak-${this.#plan.seed} --stall-limit ${limits.stallSeconds} --json`;
    const command = async (host: 'src' | 'dst', options: string): Promise<string> =>
      `env ${marker} TMPDIR=${folder}/tmp node ${await deploy(engine, host)} ${options} ${common}`;

    for (const { qmp } of [sourceVm, targetVm]) {
      await qmp.execute('migrate-set-capabilities', {
        capabilities: (['events', ...capabilityNames[capabilities]] as const).map((capability) => ({
          capability,
          state: true,
        })),
      });
    }
    await sourceVm.qmp.execute('migrate-set-parameters', {
      'max-bandwidth': 100e9,
      'downtime-limit': 1000,
      'avail-switchover-bandwidth': dbLinkBitsPerSecond / 8,
    });
    await targetVm.qmp.execute('migrate-incoming', { uri: `unix:${incomingSocket}` });
    const address = `${testbed.networks.migration.addresses.dst}:${firstVm.migrationPort}`;
    const destination = new LabEngine({
      host: dst,
      shell: shells.dst,
      pidFile: pidFiles.destination,
      command: await command(
        'dst',
        `destination --listen ${address} --incoming unix:${incomingSocket} --storage ${disk.engine} --storage-limit ${limits.storageSeconds}`,
      ),
    });
    this.#engines = [destination];
    await destination.event('listening', engineStartMs);
    const memory =
      ram === 'file' ? `file:${firstVm.machine.paths.ram}` : `pid:$(cat ${firstVm.machine.paths.pidFile})`;
    const source = new LabEngine({
      host: src,
      shell: shells.src,
      pidFile: pidFiles.source,
      command: await command(
        'src',
        `source --listen unix:${outgoingSocket} --connect ${address} --agent ${firstVm.machine.paths.agentSocket} ` +
          `--agent-timeout ${limits.agentSeconds} --ram ${memory} --strategy ${strategy} --compress ${compress} ` +
          `--list-at ${listAt} ${strategy === 'balance' ? `--leave-out ${leaveOut} ` : ''}--switchover-limit ${limits.switchoverSeconds}`,
      ),
    });
    this.#engines = [destination, source];
    // With the list first.
    await source.event('listening', engineStartMs + 1000 * limits.agentSeconds);
    return { source, destination };
  }

  #signaller(
    source: LabEngine,
    destination: LabEngine,
  ): (process: ProcessName, signal: NodeJS.Signals) => Promise<boolean> {
    const { shells } = this.#lab;
    const toQemu = (host: 'src' | 'dst', signal: NodeJS.Signals): Promise<boolean> =>
      shells[host].run(`kill -${signal.replace('SIG', '')} $(cat ${firstVm.machine.paths.pidFile})`);
    return async (process, signal) => {
      switch (process) {
        case 'source-engine':
          return source.signal(signal);
        case 'destination-engine':
          return destination.signal(signal);
        case 'source-qemu':
          return toQemu('src', signal);
        case 'target-qemu':
          return toQemu('dst', signal);
        case 'storage':
          return false;
      }
    };
  }

  /** A source that has been ended has no memory to compare with. */
  async #differingPages(source: LabVm): Promise<readonly number[] | undefined> {
    if (!source.lives) return undefined;
    const { testbed, deploy } = this.#lab;
    await testbed.shape('migration', undefined);
    const { pages_differing: count, differing } = await compareRam(testbed, deploy, () => undefined);
    await testbed.shape('migration', dbLinkBitsPerSecond);
    return count === 0 ? [] : differing.map(({ page }) => page);
  }

  /** What engines that have ended should have taken with them; one that was killed cannot remove files. */
  async #leftovers(source: LabEngine, destination: LabEngine): Promise<readonly string[]> {
    const left: string[] = [];
    for (const [engine, host] of [
      [source, this.#lab.testbed.hosts.src],
      [destination, this.#lab.testbed.hosts.dst],
    ] as const) {
      if (engine.end === 'limit') continue;
      const list = async (command: string, what: string): Promise<void> => {
        const { stdout } = await host.run(command);
        left.push(...stdout.split('\n').flatMap((line) => (line === '' ? [] : [`${what} ${line}`])));
      };
      await list(
        `for file in $(grep -lszx ${marker} /proc/[0-9]*/environ); do tr '\\0' ' ' < \${file%environ}cmdline; echo; done`,
        `process on ${host.name}`,
      );
      if (engine.end === 'SIGKILL') continue;
      await list(`ls -A ${folder}/tmp`, `file on ${host.name}`);
      if (engine === source) await list(`ls ${outgoingSocket} 2> /dev/null || true`, 'socket');
    }
    return left;
  }

  /** Asks the VM that lives; one that went with its host is started anew, as somebody would who has lost it. */
  async #database(end: ReturnType<typeof endOf>): Promise<DatabaseHistory | undefined> {
    if (end === undefined) return undefined;
    const { server, testbed } = this.#lab;
    const before = this.#acknowledged;
    const startedAnew = end === 'gone with its host';
    if (startedAnew) {
      await this.#stopLoad();
      await this.#lab.bootAnew(this.#signal);
    } else {
      await this.#until(() => this.#acknowledged > before);
      const answered = this.#acknowledged > before;
      await this.#stopLoad();
      if (!answered)
        return { startedAnew, answered, acknowledged: before, lost: 0, firstLost: undefined, tables: [] };
    }
    const { acknowledged, lost, firstLost } = await checkLedger(testbed.hosts.client, server, ledgerFile);
    const tables = await checkTables(testbed.hosts.client, server);
    return {
      startedAnew,
      answered: true,
      acknowledged,
      lost,
      firstLost,
      tables,
    };
  }

  async #stopLoad(): Promise<void> {
    await this.#recorder?.stop();
    this.#recorder = undefined;
  }

  async close(): Promise<void> {
    await this.#injector?.stop();
    await this.#stopLoad();
    await Promise.all(this.#engines.map((engine) => engine.stop()));
    await this.#key?.remove();
    await this.#lab.stopVms();
  }
}
