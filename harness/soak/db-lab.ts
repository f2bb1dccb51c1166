/** The lab for runs with a database: each begins with a guest that was warmed once and kept. */
import { readFile } from 'node:fs/promises';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import { bundleAgent } from '../../guest/image/agent-bundle.ts';
import { makeInitrd } from '../../guest/image/initrd.ts';
import { prepareGuestImage } from '../../guest/image/prepare-guest-image.ts';
import { rowsForDataBytes } from '../../guest/image/table-size.ts';
import { bundleProgram } from '../probes/bundle.ts';
import { type Deploy, deployer } from '../run/deploy.ts';
import { type DiskPlace, diskPlace } from '../run/disk-place.ts';
import { prepareEngine } from '../run/migration/engine-bundle.ts';
import {
  prepareWarmedGuest,
  serverReadyTimeoutMs,
  startWarmedGuest,
  type WarmedGuest,
} from '../run/warmed-guest.ts';
import type { Testbed } from '../testbed/host.ts';
import { startLocalTestbed } from '../testbed/local/start.ts';
import { probeAccelerator } from '../vm/accelerator.ts';
import { startVm, stopVm, waitForServer } from '../vm/machine.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { prepareVmHost } from '../vm/vm-host.ts';
import { firstVm } from '../vm/vm-place.ts';
import { type DatabaseServer, guestServer } from '../workload/database-server.ts';
import { HostShell } from './host-shell.ts';
import { LabVm } from './lab-vm.ts';

export const dbTables = 4;

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
  readonly guest: WarmedGuest;
}

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
  readonly #guest: WarmedGuest;

  private constructor(testbed: Testbed, deploy: Deploy, { recorder, engine, machine, guest }: Prepared) {
    this.testbed = testbed;
    this.deploy = deploy;
    this.server = serverOf(testbed);
    this.disk = diskPlace(testbed, 'disk.img');
    this.shells = { src: new HostShell(testbed.hosts.src), dst: new HostShell(testbed.hosts.dst) };
    this.recorder = recorder;
    this.engine = engine;
    this.#machine = machine;
    this.#guest = guest;
  }

  /** @throws CodedError 'lab', CodedError 'set-up', CodedError 'host'; the signal's reason when it aborts */
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
      const { src, dst } = testbed.hosts;
      const disk = diskPlace(testbed, 'disk.img');
      const kernelPath = await deploy(image.kernelPath, 'src');
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
        ...firstVm.machine,
        accelerator,
        memoryBytes: vmMemoryBytes,
        processors: accelerator === 'tcg' ? 1 : 2,
        kernelPath: await deploy(image.kernelPath, host),
        initrdPath: await deploy(initrd, host),
        guestAddress: testbed.guestAddress,
        bufferPoolBytes,
        disk: disk.qemu,
        role: host === 'src' ? 'source' : 'target',
      });
      const machines = { src: await machine('src'), dst: await machine('dst') };
      const guest = await prepareWarmedGuest({
        ...{ testbed, deploy, dbms: 'mariadb', image, agentBundlePath: agent },
        ...{ machine: machines.src, disk },
        ...{ server: serverOf(testbed), aged: false, log, signal },
      });
      return new DbLab(testbed, deploy, { ...programs, machine: machines, guest });
    } catch (error) {
      await testbed.close();
      throw error;
    }
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
    const { testbed, deploy, disk } = this;
    const { src, dst } = testbed.hosts;
    const source = await startWarmedGuest(
      this.#guest,
      { testbed, deploy, machine: this.#machine.src, disk, signal },
      (waiting) => LabVm.start(src, waiting),
    );
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
  return guestServer('mariadb', guestAddress.split('/')[0] ?? '');
}
