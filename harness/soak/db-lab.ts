/**
 * The lab for runs with a database: a guest is booted and its pool warmed once, and kept as a stream of QEMU's with the disk
 * as it was then. Each run begins with both, which takes a few seconds where a boot takes up to a minute.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import { bundleAgent } from '../../guest/image/agent-bundle.ts';
import { makeInitrd } from '../../guest/image/initrd.ts';
import { prepareGuestImage } from '../../guest/image/prepare-guest-image.ts';
import { rowsForDataBytes } from '../../guest/image/table-size.ts';
import { bundleProgram } from '../probes/bundle.ts';
import { type Deploy, deployer } from '../run/deploy.ts';
import { type DiskPlace, diskPlace } from '../run/disk-place.ts';
import { prepareEngine } from '../run/migration/engine-bundle.ts';
import { hostFolder, type Testbed } from '../testbed/host.ts';
import { startLocalTestbed } from '../testbed/local/start.ts';
import { probeAccelerator } from '../vm/accelerator.ts';
import { waitForAgent } from '../vm/guest-agent.ts';
import { startVm, stopVm, waitForServer } from '../vm/machine.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { prepareVmHost, tapName } from '../vm/vm-host.ts';
import { whileVmLives } from '../vm/while-vm-lives.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { warmUp } from '../workload/warm-up.ts';
import { HostShell } from './host-shell.ts';
import { LabVm } from './lab-vm.ts';

export const dbTables = 4;
const serverReadyTimeoutMs = 180_000;
const copyTimeoutMs = 600_000;
const pollMs = 50;
const announcements = { initial: 20, max: 200, rounds: 5, step: 40 };

/** As small as a guest with a database can be; a migration takes about ten seconds. */
const { vmMemoryBytes, bufferPoolBytes, tableDataBytes } = resolveConfiguration(
  optionsSchema.parse({ vmMemory: 384, tableData: 60 }),
);
export const dbMemoryBytes = vmMemoryBytes;
export const dbLinkBitsPerSecond = 200e6;
export const dbRowsPerTable = Math.ceil(rowsForDataBytes('mariadb', tableDataBytes) / dbTables);

export interface DbLabOptions {
  /** What the user ran. */
  readonly owner: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

type VmHostName = 'src' | 'dst';

interface Prepared {
  readonly recorder: string;
  readonly engine: string;
  readonly machine: Readonly<Record<VmHostName, MachineDescription>>;
}

const snapshot = `${hostFolder}/soak-vm`;

export class DbLab {
  readonly testbed: Testbed;
  readonly server: DatabaseServer;
  readonly disk: DiskPlace;
  readonly deploy: Deploy;
  readonly shells: Readonly<Record<VmHostName, HostShell>>;
  /** Programs on this machine. */
  readonly recorder: string;
  readonly engine: string;
  readonly #machine: Prepared['machine'];
  readonly #warmDisk: string;

  private constructor(testbed: Testbed, deploy: Deploy, { recorder, engine, machine }: Prepared) {
    this.testbed = testbed;
    this.deploy = deploy;
    this.server = serverOf(testbed);
    this.disk = diskPlace(testbed, 'disk.img');
    this.shells = { src: new HostShell(testbed.hosts.src), dst: new HostShell(testbed.hosts.dst) };
    this.recorder = recorder;
    this.engine = engine;
    this.#machine = machine;
    this.#warmDisk = diskPlace(testbed, 'warm.img').serverPath;
  }

  /** @throws CodedError 'lab', CodedError 'set-up', CodedError 'set-up', CodedError 'host', CodedError 'vm', CodedError 'run', 'warm-up-failed'; the signal's reason when it aborts */
  static async open(options: DbLabOptions): Promise<DbLab> {
    const { owner, log, signal } = options;
    const image = await prepareGuestImage({
      dbms: 'mariadb',
      tables: dbTables,
      rowsPerTable: dbRowsPerTable,
      log,
    });
    const programs = { recorder: await bundleProgram('recorder', log), engine: await prepareEngine(log) };
    const agent = await bundleAgent(log);
    signal.throwIfAborted();
    const rate = dbLinkBitsPerSecond;
    const testbed = await startLocalTestbed({
      rates: { migration: rate, storage: rate, service: rate },
      keep: () => false,
      owner,
      log,
    });
    try {
      const deploy = deployer(testbed);
      const { src, dst, nfs } = testbed.hosts;
      const disk = diskPlace(testbed, 'disk.img');
      const kernelPath = await deploy(image.kernelPath, 'src');
      const diskImage = await deploy(image.diskPath, 'nfs');
      await nfs.run(copyImage(diskImage, disk.serverPath), { timeoutMs: copyTimeoutMs });
      for (const host of [src, dst]) await prepareVmHost(host, testbed);
      const initrd = await makeInitrd({
        base: image.initrdPath,
        authorizedKey: await readFile(testbed.guestKeys.authorizedKeyPath, 'utf8'),
        hostKey: await readFile(testbed.guestKeys.hostKeyPath, 'utf8'),
        agentBundlePath: agent,
        log,
      });
      const { accelerator } = await probeAccelerator(src, {
        kernelPath,
        initrdPath: await deploy(image.initrdPath, 'src'),
        log,
      });
      const machine = async (host: VmHostName): Promise<MachineDescription> => ({
        accelerator,
        memoryBytes: vmMemoryBytes,
        processors: accelerator === 'tcg' ? 1 : 2,
        kernelPath: await deploy(image.kernelPath, host),
        initrdPath: await deploy(initrd, host),
        guestAddress: testbed.guestAddress,
        bufferPoolBytes,
        disk: disk.qemu,
        tapInterface: tapName,
        macAddress: '52:54:00:aa:00:10',
        role: host === 'src' ? 'source' : 'target',
      });
      const lab = new DbLab(testbed, deploy, {
        ...programs,
        machine: { src: await machine('src'), dst: await machine('dst') },
      });
      await lab.#warm(options);
      return lab;
    } catch (error) {
      await testbed.close();
      throw error;
    }
  }

  /** Boots the guest, fills its pool, and keeps both. */
  async #warm({ log, signal }: DbLabOptions): Promise<void> {
    const { src, nfs } = this.testbed.hosts;
    log('booting the guest and warming its pool');
    const qmp = await this.bootAnew(signal);
    await whileVmLives(
      qmp,
      warmUp(this.testbed.hosts.client, this.server, () => undefined, signal),
    );
    log(await whileVmLives(qmp, waitForAgent(src, signal)));
    await src.run(`install -d -m 700 ${hostFolder}`);
    await qmp.execute('stop');
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 100e9 });
    await qmp.execute('migrate', { uri: `file:${snapshot}` });
    await completed(qmp, signal);
    await stopVm(src);
    qmp.close();
    await nfs.run(copyImage(this.disk.serverPath, this.#warmDisk), { timeoutMs: copyTimeoutMs });
  }

  /**
   * Ends what VMs there are, and starts two: the warmed guest runs at src, and a target waits at dst.
   * @throws CodedError 'host', CodedError 'vm', CodedError 'qmp'; the signal's reason when it aborts
   */
  async startVms({
    targetLacksDevice,
    signal,
  }: {
    readonly targetLacksDevice: boolean;
    readonly signal: AbortSignal;
  }): Promise<{ readonly source: LabVm; readonly target: LabVm }> {
    await this.stopVms();
    const { src, dst, nfs } = this.testbed.hosts;
    // The same file as ever: the server knows it.
    await nfs.run(copyImage(this.#warmDisk, this.disk.serverPath), { timeoutMs: copyTimeoutMs });
    const source = await LabVm.start(src, { ...this.#machine.src, role: 'target' });
    await source.qmp.execute('migrate-incoming', { uri: `file:${snapshot}` });
    await completed(source.qmp, signal);
    await source.qmp.execute('cont');
    await source.qmp.execute('announce-self', announcements);
    const target = await LabVm.start(dst, {
      ...this.#machine.dst,
      ...(targetLacksDevice ? { agentPort: false } : {}),
    });
    return { source, target };
  }

  /** Boots the guest at src from the disk as it is now; returns when its server answers. @throws CodedError 'host', CodedError 'vm' */
  async bootAnew(signal: AbortSignal): Promise<QmpClient> {
    await this.stopVms();
    const { src, client } = this.testbed.hosts;
    const qmp = await startVm(src, this.#machine.src);
    await waitForServer({
      client,
      vmHost: src,
      server: this.server,
      timeoutMs: serverReadyTimeoutMs,
      signal,
    });
    return qmp;
  }

  async stopVms(): Promise<void> {
    const { src, dst } = this.testbed.hosts;
    await Promise.all([stopVm(src), stopVm(dst)]);
  }

  /** Takes all of it down. Idempotent. */
  close(): Promise<void> {
    return this.testbed.close();
  }
}

function serverOf({ guestAddress }: Testbed): DatabaseServer {
  return { host: guestAddress.split('/')[0] ?? '', port: 3306, user: 'sbtest', password: 'sbtest' };
}

const copyImage = (from: string, to: string): string => `cp --sparse=always ${from} ${to}`;

async function completed(qmp: QmpClient, signal: AbortSignal): Promise<void> {
  for (;;) {
    const info = await qmp.execute('query-migrate');
    if (info.status === 'completed') return;
    if (info.status === 'failed')
      throw new Error(`the kept guest: ${info['error-desc'] ?? 'QEMU gives no reason'}`);
    await sleep(pollMs, undefined, { signal });
  }
}
