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
import { nowMs } from '../probes/wall-clock.ts';
import { type Manifest, writeManifest } from '../../record/manifest.ts';
import type { RunLog } from '../../record/run-log.ts';
import { type Host, networkNames } from '../testbed/host.ts';
import { startTestbed } from '../testbed/start-testbed.ts';
import { probeAccelerator } from '../vm/accelerator.ts';
import { waitForAgent } from '../vm/guest-agent.ts';
import { startVm, stopVm, waitForServer } from '../vm/machine.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { prepareVmHost, releaseVmHost } from '../vm/vm-host.ts';
import { addressOf, firstVm, hostOf, secondVm } from '../vm/vm-place.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { prepareLoadScript, tpccScript } from '../workload/load-script.ts';
import { runSql } from '../workload/sql-client.ts';
import type { SysbenchData } from '../workload/sysbench.ts';
import { type SqlProxy, startSqlProxy } from '../workload/sql-proxy.ts';
import { tpccTables } from '../workload/tpcc-check.ts';
import { readBufferPoolUse, warmUp } from '../workload/warm-up.ts';
import { Checks } from './checks.ts';
import { copyImage, deployer } from './deploy.ts';
import { type DiskPlace, diskPlace } from './disk-place.ts';
import type { ExperimentOptions } from './experiment-options.ts';
import { measureGoodput } from './links.ts';
import { loadProbe } from './load.ts';
import { requireQemuSupport } from './migration/qemu-support.ts';
import { replica } from './migration/replica.ts';
import { freshVm, restart } from './migration/restart.ts';
import { sourceChanges, standbyChanges, standbyVm, waitForStandby } from './migration/standby.ts';
import { migrationOf } from './migration/start-migration.ts';
import { watchedSeconds } from './plan.ts';
import { Recorders } from './recorders.ts';
import { collectHostMachine, collectMachine, collectRevision, collectVersions } from './versions.ts';
import type { RunWatch } from './run-watch.ts';
import type { Steps } from './steps.ts';
import { saveVmLogs } from './vm-logs.ts';
import { prepareWarmedGuest, serverReadyTimeoutMs, startWarmedGuest } from './warmed-guest.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');
const tables = 4;
/** 200 pings a second take so much of an emulated guest that they lengthen its start, which is what is measured here. */
const seldomPings = { intervalMs: 100, thresholdMs: 250 };

interface RunStepsOptions extends ExperimentOptions {
  readonly log: RunLog;
  readonly steps: Steps;
  readonly watch: RunWatch;
  /** Whether the lab is to stay up; asked when everything else has been undone. */
  readonly keepsLab: () => boolean;
}

/** A source VM that serves from a warm pool. */
interface WarmSource {
  readonly qmp: QmpClient;
  /** What its pool holds. */
  readonly poolInUseBytes: number;
}

interface StepsResult {
  readonly converged: boolean;
  readonly failedChecks: readonly string[];
}

export async function runSteps(options: RunStepsOptions): Promise<StepsResult> {
  const { configuration, log, steps, watch, signal } = options;
  const { dbms } = configuration;
  const engine = engines[configuration.engine];
  const standby = engine.kind === 'restart' ? engine.standby : undefined;
  const { sysbenchWorkload: workload } = scenarios[configuration.scenario];
  const note = (text: string): void => {
    log.event({ event: 'note', at_ms: nowMs(), text });
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
  const deploy = deployer(testbed);
  const vm = firstVm;
  const guestHost = hostOf(vm, testbed.guestAddress);
  const server: DatabaseServer = { host: guestHost, port: 3306, user: 'sbtest', password: 'sbtest' };

  /** In a VM on standby. */
  const second = standby === undefined ? server : { ...server, host: hostOf(secondVm, testbed.guestAddress) };

  const recorders = new Recorders(log, (host) => deploy(prepared.recorder, host));
  // An NFS server keeps a file's size in mind for a while: runs of one lab with images of several sizes use several files.
  const diskName = options.lab === undefined ? 'disk' : path.basename(path.dirname(image.diskPath));
  const disk = diskPlace(testbed, `${diskName}.img`);
  /** Of a VM on standby. */
  const ownDisk = diskPlace(testbed, 'standby.img');

  const manifest: Manifest = await steps.step(
    'prepare the hosts',
    async () => {
      const copyDisk = async ({ serverPath }: DiskPlace): Promise<void> =>
        copyImage(nfs, await deploy(image.diskPath, 'nfs'), serverPath);
      await Promise.all([
        // A warmed guest has a disk of its own.
        ...(configuration.warmStart === true ? [] : [copyDisk(disk)]),
        ...(standby === undefined ? [] : [copyDisk(ownDisk)]),
        prepareVmHost(src, testbed),
        prepareVmHost(dst, testbed),
      ]);
      for (const host of [src, dst, nfs, client]) {
        const interfaces = Object.fromEntries(
          Object.entries(testbed.networks).map(([network, plan]) => [network, plan.interfaces[host.name]]),
        );
        await recorders.start(host, [
          { probe: 'nic', interfaces },
          { probe: 'load', units: host === src || host === dst ? { qemu: `${vm.unit}.service` } : {} },
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
  await writeManifest(log.folder, manifest);

  const goodput =
    options.lab?.goodputBytesPerSecond ??
    (await steps.step('measure the links', async () => ({
      migration: await measureGoodput(testbed, 'migration', 'src', 'dst'),
      storage: await measureGoodput(testbed, 'storage', 'nfs', 'dst'),
    })));
  await writeManifest(log.folder, { ...manifest, goodputBytesPerSecond: goodput });

  const initrdPath = await makeInitrd({
    base: image.initrdPath,
    authorizedKey: await readFile(testbed.guestKeys.authorizedKeyPath, 'utf8'),
    hostKey: await readFile(testbed.guestKeys.hostKeyPath, 'utf8'),
    agentBundlePath: prepared.agent,
    log: note,
  });
  const machine = async (host: 'src' | 'dst'): Promise<MachineDescription> => ({
    ...vm.machine,
    accelerator: manifest.accelerator.name,
    memoryBytes: configuration.vmMemoryBytes,
    processors: manifest.accelerator.name === 'tcg' ? 1 : 2,
    kernelPath: await deploy(image.kernelPath, host),
    initrdPath: await deploy(initrdPath, host),
    guestAddress: addressOf(vm, testbed.guestAddress),
    bufferPoolBytes: configuration.bufferPoolBytes,
    disk: disk.qemu,
    role: host === 'src' ? 'source' : 'target',
    ...(host === 'src' ? sourceChanges(standby) : {}),
    ...(engine.kind === 'stock' && engine.balloon !== undefined ? { balloon: engine.balloon } : {}),
  });

  // A lab that is kept is kept for a look at its VM.
  const stopUnlessKept = (host: Host): Promise<void> =>
    options.keepsLab() ? Promise.resolve() : stopVm(host);
  // In the undo, so that a run that fails keeps its evidence too; after the stop, so that last words are in it.
  const stopAndKeepLogs = async (host: Host): Promise<void> => {
    try {
      await stopUnlessKept(host);
    } finally {
      await saveVmLogs(host, log.folder).catch((error: unknown) => {
        note(`the logs of ${host.name} could not be kept: ${String(error)}`);
      });
    }
  };

  const checks = new Checks(log, standby === undefined ? 'ping' : 'heartbeat');
  const started = async (qmp: QmpClient): Promise<QmpClient> => {
    watch.vm('src', qmp);
    await recorders.start(src, [{ probe: 'qmp', socket: vm.machine.paths.recorderSocket }]);
    await waitForServer({ client, vmHost: src, server, timeoutMs: serverReadyTimeoutMs, signal });
    await checks.freshDisk(await runSql(client, server, 'SELECT COUNT(*) FROM poolshift.ledger'));
    return qmp;
  };

  async function bootAndWarm(): Promise<WarmSource> {
    const qmp = await steps.step(
      'boot the source VM',
      async () => {
        // Booting and warming are not measured: they get the storage network at full speed.
        await testbed.shape('storage', undefined);
        return started(await startVm(src, await machine('src')));
      },
      () => stopAndKeepLogs(src),
    );
    const { dataBytes } = await steps.step('warm the pool', () =>
      warmUp(
        client,
        server,
        ({ dataBytes, loadStatus }) => {
          note(`${mebibytes(dataBytes)} in the pool: ${loadStatus}`);
        },
        signal,
      ),
    );
    await steps.step('wait for the guest agent', async () => {
      note(await waitForAgent(src, signal));
    });
    return { qmp, poolInUseBytes: dataBytes };
  }

  async function continueWarmed(): Promise<WarmSource> {
    return steps.step(
      'start the warmed source VM',
      async () => {
        await testbed.shape('storage', undefined);
        const place = { testbed, deploy, machine: await machine('src'), disk, signal };
        const guest = await prepareWarmedGuest({
          ...place,
          ...{ dbms, image, server, agentBundlePath: prepared.agent, log: note },
        });
        const vm = await startWarmedGuest(guest, place, async (waiting) => ({
          qmp: await startVm(src, waiting),
        }));
        const qmp = await started(vm.qmp);
        return { qmp, poolInUseBytes: (await readBufferPoolUse(client, server)).dataBytes };
      },
      () => stopAndKeepLogs(src),
    );
  }

  const { qmp: source, poolInUseBytes } = await (configuration.warmStart === true
    ? continueWarmed()
    : bootAndWarm());
  await writeManifest(log.folder, {
    ...manifest,
    goodputBytesPerSecond: goodput,
    poolInUseReachedBytes: poolInUseBytes,
  });

  const target: { qmp?: QmpClient } = {};
  const startTarget = async (changes: Partial<MachineDescription>): Promise<QmpClient> =>
    (target.qmp = await startVm(dst, { ...(await machine('dst')), ...changes }));

  const proxied: { proxy?: SqlProxy } = {};
  const waitingTarget = await steps.step(
    engine.kind === 'restart' && standby === undefined ? 'start the probes' : 'start the target VM',
    async () => {
      await testbed.shape('storage', rates?.storage);
      let qmp: QmpClient | undefined;
      if (standby !== undefined) {
        qmp = await startTarget(standbyChanges(standby, await machine('src'), ownDisk.qemu));
        await waitForStandby(dst, signal);
        proxied.proxy = await startSqlProxy(client, server, second);
      } else if (engine.kind !== 'restart') qmp = await startTarget({});
      await recorders.start(dst, [{ probe: 'qmp', socket: vm.machine.paths.recorderSocket }]);
      const asked = proxied.proxy?.server ?? server;
      await recorders.start(client, [
        // There is no one VM that answers before and after.
        ...(standby === undefined
          ? [
              {
                probe: 'ping',
                address: guestHost,
                ...(engine.kind === 'restart' ? seldomPings : {}),
              } as const,
            ]
          : []),
        { probe: 'heartbeat', server: asked },
        { probe: 'ledger', server: asked, file: vm.ledgerFile },
      ]);
      return qmp;
    },
    async () => {
      await proxied.proxy?.stop();
      await stopAndKeepLogs(dst);
    },
  );
  const clientsServer = proxied.proxy?.server ?? server;

  const watched = watchedSeconds(configuration);
  const load =
    prepared.loadScript === undefined
      ? undefined
      : loadProbe(configuration, clientsServer, {
          script: await deploy(prepared.loadScript, 'client'),
          data,
        });
  await steps.step('load before the migration', async () => {
    await recorders.measureClocks();
    if (load !== undefined) await recorders.start(client, [load]);
    await sleep(watched.before * 1000, undefined, { signal });
  });

  const moved = { configuration, testbed, source, server, log, signal };
  const successor =
    waitingTarget === undefined || proxied.proxy === undefined
      ? freshVm(server, startTarget)
      : standbyVm(waitingTarget, disk.qemu, client, second, proxied.proxy);
  const migration =
    engine.kind === 'restart' || waitingTarget === undefined
      ? standby === 'replica' && proxied.proxy !== undefined
        ? replica({ ...moved, second, proxy: proxied.proxy })
        : restart({ ...moved, successor })
      : migrationOf(engine, {
          ...moved,
          target: waitingTarget,
          vm,
          migrationGoodputBytesPerSecond: goodput.migration,
          storagePlace: disk.engine,
          deploy,
        });
  if (engine.kind === 'restart') {
    watch.vm('src', undefined);
    watch.serverMayGo();
  }
  const outcome = await steps.step(
    'migrate',
    () => migration.run(),
    () => migration.close(),
  );

  const converged = outcome === 'completed';
  if (converged) watch.vm('dst', target.qmp);
  if (converged && configuration.verifyRam) {
    await steps.step('compare the RAM of both VMs', async () => {
      await testbed.shape('migration', undefined);
      await checks.ram(testbed, deploy, note);
      await testbed.shape('migration', rates?.migration);
      await target.qmp?.execute('cont');
    });
  }
  await steps.step('load after the migration', () => sleep(watched.after * 1000, undefined, { signal }));
  await steps.step('check', async () => {
    await recorders.measureClocks();
    await checks.oneVm(converged, source, target.qmp);
    if (load !== undefined && (engine.kind !== 'restart' || standby !== undefined)) checks.loadRan();
    await recorders.stopProbes('client');
    if (standby === undefined) checks.sourceAnswers();
    if (converged && !configuration.verifyRam) checks.clientGap();
    await checks.ledger(client, clientsServer, vm.ledgerFile);
    await checks.tables(client, clientsServer, data.kind === 'tpcc' ? tpccTables : tables);
    if (data.kind === 'tpcc') await checks.tpcc(client, clientsServer);
  });
  return { converged, failedChecks: checks.failed };
}
