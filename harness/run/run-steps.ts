/** The steps of one run (docs/architecture.md, One run). */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mebibytes } from '../../foundation/quantity.ts';
import { linkRatesOf } from '../../experiments/configuration.ts';
import { engines } from '../../experiments/engines.ts';
import { scenarios } from '../../experiments/scenarios.ts';
import { bundleAgent } from '../../guest/image/agent-bundle.ts';
import { makeInitrd } from '../../guest/image/initrd.ts';
import { prepareGuestImage } from '../../guest/image/prepare-guest-image.ts';
import { rowsForDataBytes } from '../../guest/image/table-size.ts';
import { bundleProgram } from '../probes/bundle.ts';
import type { ProbeConfig } from '../probes/report.ts';
import { nowMs } from '../probes/wall-clock.ts';
import { type Manifest, writeManifest } from '../../record/manifest.ts';
import { type Host, networkNames } from '../testbed/host.ts';
import { startTestbed } from '../testbed/start-testbed.ts';
import { probeAccelerator } from '../vm/accelerator.ts';
import { waitForAgent } from '../vm/guest-agent.ts';
import { startVm, stopVm, vmState, waitForServer } from '../vm/machine.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { prepareVmHost, releaseVmHost, requireFreeVmHost } from '../vm/vm-host.ts';
import { addressOf, hostOf, secondVm, type VmIndex } from '../vm/vm-place.ts';
import { type DatabaseServer, guestServer } from '../workload/database-server.ts';
import { prepareLoadScript, tpccScript } from '../workload/load-script.ts';
import { runSql } from '../workload/sql-client.ts';
import type { SysbenchData } from '../workload/sysbench.ts';
import { type SqlProxy, startSqlProxy } from '../workload/sql-proxy.ts';
import { tpccTables } from '../workload/tpcc-check.ts';
import { readBufferPoolUse, warmUp } from '../workload/warm-up.ts';
import { ageGuest, withGuest } from './age-guest.ts';
import { Checks } from './checks.ts';
import { copyImage, deployer } from './deploy.ts';
import { type DiskPlace, runDisk } from './disk-place.ts';
import type { ExperimentOptions } from './experiment-options.ts';
import { readHeldMemory } from './held-memory.ts';
import { measureGoodput } from './links.ts';
import { loadProbe } from './load.ts';
import type { Migration } from './migration/migration.ts';
import { requireQemuSupport } from './migration/qemu-support.ts';
import { replica } from './migration/replica.ts';
import { freshVm, restart } from './migration/restart.ts';
import { sourceChanges, standbyChanges, standbyVm, waitForStandby } from './migration/standby.ts';
import { migrationOf } from './migration/start-migration.ts';
import { watchedSeconds } from './plan.ts';
import { Recorders } from './recorders.ts';
import { collectHostMachine, collectMachine, collectRevision, collectVersions } from './versions.ts';
import type { RecordedVm, RunVm } from './run-vm.ts';
import type { SharedLog } from './shared-log.ts';
import { type Steps, together } from './steps.ts';
import { saveVmLogs } from './vm-logs.ts';
import { prepareWarmedGuest, serverReadyTimeoutMs, startWarmedGuest } from './warmed-guest.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');
const tables = 4;
/** 200 pings a second take so much of an emulated guest that they lengthen its start, which is what is measured here. */
const seldomPings = { intervalMs: 100, thresholdMs: 250 };

interface RunStepsOptions extends ExperimentOptions {
  /** What is of the run, and not of one of its VMs. */
  readonly log: SharedLog;
  /** In order; a restart has one. */
  readonly recorded: readonly RecordedVm[];
  readonly steps: Steps;
  /** Whether the lab is to stay up; asked when everything else has been undone. */
  readonly keepsLab: () => boolean;
}

/** A source VM that serves from a warm pool. */
interface WarmVm extends RunVm {
  readonly source: QmpClient;
  /** What its pool holds. */
  readonly poolInUseBytes: number;
}

interface StepsResult {
  /** Every VM. */
  readonly converged: boolean;
  readonly failedChecks: readonly string[];
}

export async function runSteps(options: RunStepsOptions): Promise<StepsResult> {
  const { configuration, log, recorded, steps, signal } = options;
  const { dbms } = configuration;
  const engine = engines[configuration.engine];
  const standby = engine.kind === 'restart' ? engine.standby : undefined;
  const { sysbenchWorkload: workload } = scenarios[configuration.scenario];
  const note = (text: string): void => {
    log.event({ event: 'note', at_ms: nowMs(), text });
  };
  const noteOf = ({ log: own }: RecordedVm, text: string): void => {
    own.event({ event: 'note', at_ms: nowMs(), text });
  };
  const notesOf =
    (vm: RecordedVm) =>
    (text: string): void => {
      noteOf(vm, text);
    };
  const rowsPerTable = Math.ceil(rowsForDataBytes(dbms, configuration.tableDataBytes) / tables);

  const data: SysbenchData =
    configuration.warehouses === undefined
      ? { kind: 'oltp', tables, rowsPerTable }
      : { kind: 'tpcc', warehouses: configuration.warehouses };

  const prepared = await steps.step('prepare image and programs', async () => {
    const image = await prepareGuestImage({
      dbms,
      tables,
      rowsPerTable,
      ...(data.kind === 'tpcc' ? { tpcc: { script: tpccScript, warehouses: data.warehouses } } : {}),
      log: note,
    });
    return {
      image,
      loadScript: workload === undefined ? undefined : await prepareLoadScript(workload, note),
      recorder: await bundleProgram('recorder', note),
      agent: await bundleAgent(note),
    };
  });
  const { image } = prepared;

  let closeLab = (): Promise<void> => Promise.resolve();
  const testbed = await steps.step(
    'bring the lab up',
    async () => {
      if (options.lab !== undefined) {
        const { testbed: up } = options.lab;
        for (const network of networkNames) await up.shape(network, configuration.linkBitsPerSecond);
        return up;
      }
      const started = await startTestbed({
        inventory: options.inventory,
        rates: linkRatesOf(configuration),
        keep: options.keepsLab,
        owner: options.owner,
        log: note,
      });
      closeLab = () => started.close();
      return started;
    },
    () => closeLab(),
  );
  const { src, dst, nfs, client } = testbed.hosts;
  const rates = testbed.shapes ? linkRatesOf(configuration) : undefined;
  await steps.step('ask QEMU for the engine', () =>
    requireQemuSupport(engine, testbed.hosts, configuration.downtimeLimitMs),
  );
  // Without an undo: what is found there is somebody's.
  await steps.step('look at the VM hosts', () =>
    together([src, dst], (host) => requireFreeVmHost(host, testbed)),
  );
  const deploy = deployer(testbed);

  // An NFS server keeps a file's size in mind for a while: runs of one lab with images of several sizes use several files.
  const diskName = options.lab === undefined ? 'disk' : path.basename(path.dirname(image.diskPath));
  const prepareVm = (vm: RecordedVm): RunVm => ({
    ...vm,
    server: guestServer(dbms, hostOf(vm.place, testbed.guestAddress)),
    disk: runDisk(testbed, `${diskName}${vm.place.suffix}`),
    checks: new Checks(vm.log, standby === undefined ? 'ping' : 'heartbeat'),
  });
  const vms = recorded.map(prepareVm);
  const places = vms.map(({ place }) => place);

  const recorders = new Recorders(
    log,
    vms.map((vm) => vm.log),
    (host) => deploy(prepared.recorder, host),
  );
  /** Of a VM on standby. */
  const ownDisk = runDisk(testbed, 'standby');

  const manifest: Manifest = await steps.step(
    'prepare the hosts',
    async () => {
      const copyDisk = async ({ serverPath }: DiskPlace): Promise<void> =>
        copyImage(nfs, await deploy(image.diskPath, 'nfs'), serverPath);
      await Promise.all([
        // A warmed guest has a disk of its own.
        ...(configuration.warmStart === true ? [] : vms.map(({ disk }) => copyDisk(disk))),
        ...(standby === undefined ? [] : [copyDisk(ownDisk)]),
        prepareVmHost(src, testbed, places),
        prepareVmHost(dst, testbed, places),
      ]);
      const units = Object.fromEntries(
        places.map(({ suffix, unit }) => [`qemu${suffix}`, `${unit}.service`]),
      );
      for (const host of [src, dst, nfs, client]) {
        const interfaces = Object.fromEntries(
          Object.entries(testbed.networks).map(([network, plan]) => [network, plan.interfaces[host.name]]),
        );
        await recorders.start(host, [
          { probe: 'nic', interfaces },
          { probe: 'load', units: host === src || host === dst ? units : {} },
        ]);
      }
      const accelerator = await probeAccelerator(src, {
        kernelPath: await deploy(image.kernelPath, 'src'),
        initrdPath: await deploy(image.initrdPath, 'src'),
        log: note,
      });
      note(`accelerator: ${accelerator.accelerator} (${accelerator.reason})`);
      return {
        format: 1,
        runId: options.runId,
        startedAt: new Date().toISOString(),
        repeat: options.repeat,
        ...(options.shard === undefined ? {} : { shard: options.shard }),
        ...(options.pair === undefined ? {} : { pair: options.pair }),
        configuration,
        accelerator: { name: accelerator.accelerator, reason: accelerator.reason },
        revision: await collectRevision(projectRoot),
        versions: await collectVersions(testbed, image),
        machine: testbed.kind === 'local' ? await collectMachine() : await collectHostMachine(src),
      };
    },
    async () => {
      await recorders.stop();
      if (!options.keepsLab()) await Promise.all([src, dst].map((host) => releaseVmHost(host, testbed)));
    },
  );
  const writeManifestOf = ({ place, log: own }: RecordedVm, known: Partial<Manifest> = {}): Promise<void> =>
    writeManifest(own.folder, { ...manifest, ...known, ...(place.index === 0 ? {} : { vm: place.index }) });
  await together(vms, (vm) => writeManifestOf(vm));

  const goodput =
    options.lab?.goodputBytesPerSecond ??
    (await steps.step('measure the links', async () => ({
      migration: await measureGoodput(testbed, 'migration', 'src', 'dst'),
      storage: await measureGoodput(testbed, 'storage', 'nfs', 'dst'),
    })));
  await together(vms, (vm) => writeManifestOf(vm, { goodputBytesPerSecond: goodput }));

  const initrdPath = await makeInitrd({
    base: image.initrdPath,
    authorizedKey: await readFile(testbed.guestKeys.authorizedKeyPath, 'utf8'),
    hostKey: await readFile(testbed.guestKeys.hostKeyPath, 'utf8'),
    agentBundlePath: prepared.agent,
    log: note,
  });
  const machine = async (
    host: 'src' | 'dst',
    vm: RunVm,
    changes: Partial<MachineDescription> = {},
  ): Promise<MachineDescription> =>
    withGuest(configuration.guest, await ordinaryMachine(host, vm), {
      ...(host === 'src' ? sourceChanges(standby) : {}),
      ...changes,
    });
  const ordinaryMachine = async (
    host: 'src' | 'dst',
    { place, disk }: RunVm,
  ): Promise<MachineDescription> => ({
    ...place.machine,
    accelerator: manifest.accelerator.name,
    memoryBytes: configuration.vmMemoryBytes,
    processors: manifest.accelerator.name === 'tcg' ? 1 : 2,
    kernelPath: await deploy(image.kernelPath, host),
    initrdPath: await deploy(initrdPath, host),
    guestAddress: addressOf(place, testbed.guestAddress),
    bufferPoolBytes: configuration.bufferPoolBytes,
    disk: disk.qemu,
    role: host === 'src' ? 'source' : 'target',
    ...(host === 'dst' && configuration.targetMemory === 'prefaulted' ? { prefaults: true } : {}),
    ...(engine.kind === 'stock' && engine.balloon !== undefined ? { balloon: engine.balloon } : {}),
  });

  // A lab that is kept is kept for a look at its VMs.
  const stopUnlessKept = (host: Host, { place }: RunVm): Promise<void> =>
    options.keepsLab() ? Promise.resolve() : stopVm(host, place);
  // In the undo, so that a run that fails keeps its evidence too; after the stop, so that last words are in it.
  const stopAndKeepLogs = async (host: Host): Promise<void> => {
    await together(vms, async (vm) => {
      try {
        await stopUnlessKept(host, vm);
      } finally {
        await saveVmLogs(host, vm.log.folder, vm.place).catch((error: unknown) => {
          noteOf(vm, `the logs of ${host.name} could not be kept: ${String(error)}`);
        });
      }
    });
  };

  const started = async (vm: RunVm, source: QmpClient): Promise<WarmVm> => {
    const { place, server } = vm;
    vm.watch.vm('src', source, () => vmState(src, place));
    const { recorderSocket } = place.machine.paths;
    await recorders.start(src, [{ probe: 'qmp', socket: recorderSocket }], place.index);
    const ready = { client, vmHost: src, vm: place, server, timeoutMs: serverReadyTimeoutMs, signal };
    await waitForServer(ready);
    await vm.checks.freshDisk(await runSql(client, server, 'SELECT COUNT(*) FROM poolshift.ledger'));
    return { ...vm, source, poolInUseBytes: 0 };
  };

  async function bootAndWarm(): Promise<readonly WarmVm[]> {
    const booted = await steps.step(
      'boot the source VM',
      async () => {
        // Booting and warming are not measured: they get the storage network at full speed.
        await testbed.shape('storage', undefined);
        return together(vms, async (vm) =>
          started(vm, await startVm(src, await machine('src', vm), vm.place, signal)),
        );
      },
      () => stopAndKeepLogs(src),
    );
    const warm = await steps.step('warm the pool', () =>
      together(booted, async (vm): Promise<WarmVm> => {
        const { dataBytes } = await warmUp(
          client,
          vm.server,
          ({ dataBytes: bytes, loadStatus }) => {
            noteOf(vm, `${mebibytes(bytes)} in the pool: ${loadStatus}`);
          },
          signal,
        );
        return { ...vm, poolInUseBytes: dataBytes };
      }),
    );
    if (configuration.guest === 'aged')
      await steps.step('age the guest', () =>
        together(warm, (vm) => ageGuest({ testbed, vm: vm.place, log: notesOf(vm), signal })),
      );
    await steps.step('wait for the guest agent', () =>
      together(warm, async (vm) => {
        noteOf(vm, await waitForAgent(src, signal, vm.place));
      }),
    );
    return warm;
  }

  async function continueWarmed(): Promise<readonly WarmVm[]> {
    return steps.step(
      'start the warmed source VM',
      async () => {
        await testbed.shape('storage', undefined);
        const kept = [];
        // One after the other: no VM runs while a guest is made.
        for (const vm of vms) {
          const { disk, server } = vm;
          const place = { testbed, deploy, machine: await machine('src', vm), disk, signal };
          const guest = await prepareWarmedGuest({
            ...{ ...place, vm: vm.place, server },
            ...{ dbms, image, agentBundlePath: prepared.agent, log: note },
            aged: configuration.guest === 'aged',
          });
          kept.push({ vm, place, guest });
        }
        return together(kept, async ({ vm, place, guest }): Promise<WarmVm> => {
          const { qmp } = await startWarmedGuest(guest, place, async (waiting) => ({
            qmp: await startVm(src, waiting, vm.place, signal),
          }));
          const warm = await started(vm, qmp);
          return { ...warm, poolInUseBytes: (await readBufferPoolUse(client, vm.server)).dataBytes };
        });
      },
      () => stopAndKeepLogs(src),
    );
  }

  const warm = await (configuration.warmStart === true ? continueWarmed() : bootAndWarm());
  await steps.step('look at what memory holds', () =>
    together(warm, async (vm) => {
      const heldMemory = await readHeldMemory({ testbed, vm: vm.place, deploy, log: notesOf(vm), signal });
      await writeManifestOf(vm, {
        goodputBytesPerSecond: goodput,
        poolInUseReachedBytes: vm.poolInUseBytes,
        ...(heldMemory === undefined ? {} : { heldMemory }),
      });
    }),
  );

  const targets = new Map<VmIndex, QmpClient>();
  const startTarget = async (vm: RunVm, changes: Partial<MachineDescription>): Promise<QmpClient> => {
    const target = await startVm(dst, await machine('dst', vm, changes), vm.place, signal);
    targets.set(vm.place.index, target);
    return target;
  };

  /** In a VM on standby. */
  const secondOf = ({ server }: RunVm): DatabaseServer =>
    standby === undefined ? server : { ...server, host: hostOf(secondVm, testbed.guestAddress) };
  const proxied: { proxy?: SqlProxy } = {};
  const clientsServerOf = ({ server }: RunVm): DatabaseServer => proxied.proxy?.server ?? server;
  await steps.step(
    engine.kind === 'restart' && standby === undefined ? 'start the probes' : 'start the target VM',
    async () => {
      await testbed.shape('storage', rates?.storage);
      await together(warm, async (vm) => {
        const { place, server } = vm;
        if (standby !== undefined) {
          await startTarget(vm, standbyChanges(standby, await machine('src', vm), ownDisk.qemu));
          await waitForStandby(dst, signal);
          proxied.proxy = await startSqlProxy(client, server, secondOf(vm));
        } else if (engine.kind !== 'restart') await startTarget(vm, {});
        const { recorderSocket } = place.machine.paths;
        await recorders.start(dst, [{ probe: 'qmp', socket: recorderSocket }], place.index);
        const asked = clientsServerOf(vm);
        const probes: readonly ProbeConfig[] = [
          // There is no one VM that answers before and after.
          ...(standby === undefined
            ? [
                {
                  probe: 'ping',
                  address: server.host,
                  ...(engine.kind === 'restart' ? seldomPings : {}),
                } as const,
              ]
            : []),
          { probe: 'heartbeat', server: asked },
          { probe: 'ledger', server: asked, file: place.ledgerFile },
        ];
        await recorders.start(client, probes, place.index);
      });
    },
    async () => {
      await proxied.proxy?.stop();
      await stopAndKeepLogs(dst);
    },
  );

  const watched = watchedSeconds(configuration);
  await steps.step('load before the migration', async () => {
    await recorders.measureClocks();
    if (prepared.loadScript !== undefined) {
      const script = await deploy(prepared.loadScript, 'client');
      for (const vm of warm) {
        const load = loadProbe(configuration, clientsServerOf(vm), { script, data });
        await recorders.start(client, [load], vm.place.index);
      }
    }
    await sleep(watched.before * 1000, undefined, { signal });
  });

  const methodOf = (vm: WarmVm): Migration => {
    const { source, server, disk, place, log: own } = vm;
    const moved = { configuration, testbed, source, server, log: own, signal };
    const target = targets.get(place.index);
    const { proxy } = proxied;
    if (engine.kind !== 'restart' && target !== undefined)
      return migrationOf(engine, {
        ...moved,
        target,
        vm: place,
        // Of VMs that move at once, each has its part.
        migrationGoodputBytesPerSecond: goodput.migration / vms.length,
        storagePlace: disk.engine,
        deploy,
      });
    vm.watch.vmMayGo();
    vm.watch.serverMayGo();
    if (target === undefined || proxy === undefined)
      return restart({ ...moved, successor: freshVm(server, (changes) => startTarget(vm, changes)) });
    const second = secondOf(vm);
    if (standby === 'replica') return replica({ ...moved, second, proxy });
    return restart({ ...moved, successor: standbyVm(target, disk.qemu, client, second, proxy) });
  };
  const moves = warm.map((vm) => ({ vm, method: methodOf(vm) }));
  const moved = await steps.step(
    'migrate',
    () =>
      together(moves, async ({ vm, method }) => {
        const converged = (await method.run()) === 'completed';
        const target = targets.get(vm.place.index);
        if (converged && target !== undefined) vm.watch.vm('dst', target, () => vmState(dst, vm.place));
        return { vm, converged };
      }),
    async () => {
      await together(moves, ({ method }) => method.close());
    },
  );

  const toCompare = configuration.verifyRam ? moved.filter(({ converged }) => converged) : [];
  if (toCompare.length > 0) {
    await steps.step('compare the RAM of both VMs', async () => {
      await testbed.shape('migration', undefined);
      for (const { vm } of toCompare) {
        await vm.checks.ram(testbed, deploy, note, vm.place);
        await targets.get(vm.place.index)?.execute('cont');
      }
      await testbed.shape('migration', rates?.migration);
    });
  }
  await steps.step('load after the migration', () => sleep(watched.after * 1000, undefined, { signal }));
  await steps.step('check', async () => {
    await recorders.measureClocks();
    await together(moved, async ({ vm, converged }) => {
      await vm.checks.oneVm(converged, vm.source, targets.get(vm.place.index));
      const hasLoad = prepared.loadScript !== undefined;
      if (hasLoad && (engine.kind !== 'restart' || standby !== undefined)) vm.checks.loadRan();
    });
    await recorders.stopProbes('client');
    await together(moved, async ({ vm, converged }) => {
      const { checks, place } = vm;
      const server = clientsServerOf(vm);
      if (standby === undefined) checks.sourceAnswers();
      if (converged) checks.clocks();
      if (converged && !configuration.verifyRam) checks.clientGap();
      await checks.ledger(client, server, place.ledgerFile);
      await checks.tables(client, server, data.kind === 'tpcc' ? tpccTables : tables);
      if (data.kind === 'tpcc') await checks.tpcc(client, server);
    });
  });
  return {
    converged: moved.every(({ converged }) => converged),
    failedChecks: vms.flatMap(({ checks, place }) =>
      checks.failed.map((name) => (vms.length === 1 ? name : `${name} of VM ${place.index}`)),
    ),
  };
}
