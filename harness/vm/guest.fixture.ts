/** A small MariaDB guest in a local lab, ready to be started, for lab tests. */
import { readFile } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import { bundleAgent } from '../../guest/image/agent-bundle.ts';
import { makeInitrd } from '../../guest/image/initrd.ts';
import { prepareGuestImage } from '../../guest/image/prepare-guest-image.ts';
import type { Testbed } from '../testbed/host.ts';
import type { NetworkRates } from '../testbed/local/lab-network.ts';
import { authorizedKeyPath } from '../testbed/local/lab-folder.ts';
import { startLocalTestbed } from '../testbed/local/start.ts';
import { guestServer } from '../workload/database-server.ts';
import { probeAccelerator } from './accelerator.ts';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import { prepareVmHost } from './vm-host.ts';
import { firstVm } from './vm-place.ts';
import { mib } from '../../foundation/quantity.ts';

/** The guest's server, as the client reaches it. */
export const mariadbGuest = guestServer('mariadb', '10.30.0.10');

interface GuestLabOptions {
  /** The test's file, for the message that other users of this machine get. */
  readonly owner: string;
  readonly rates: NetworkRates;
  readonly rowsPerTable: number;
  /** Whether the guest runs the agent. */
  readonly agent: boolean;
  readonly log: (line: string) => void;
}

export interface GuestLab {
  readonly testbed: Testbed;
  /** 384 MiB, the disk on the lab's NFS server: as the source starts it. */
  readonly machine: MachineDescription;
  /** Of the guest's server. */
  readonly serverVersion: string;
  /** The disk's place on the NFS server. */
  readonly diskPath: string;
}

/** Brings a lab up, with a disk of two tables on its NFS server and both VM hosts prepared; taken down with the test. */
export async function prepareGuestLab(
  t: ExecutionContext,
  { owner, rates, rowsPerTable, agent, log }: GuestLabOptions,
): Promise<GuestLab> {
  const image = await prepareGuestImage({ dbms: 'mariadb', tables: 2, rowsPerTable, log });
  const agentBundlePath = agent ? await bundleAgent(log) : undefined;
  const testbed = await startLocalTestbed({ rates, keep: () => false, owner, log });
  t.teardown(() => testbed.close());
  const { src, dst, nfs } = testbed.hosts;
  const initrdPath = await makeInitrd({
    base: image.initrdPath,
    authorizedKey: await readFile(authorizedKeyPath, 'utf8'),
    ...(agentBundlePath === undefined ? {} : { agentBundlePath }),
    log,
  });
  const diskPath = `${testbed.exportPath}/disk.img`;
  await nfs.run(`cp --sparse=always ${image.diskPath} ${diskPath}`);
  await Promise.all([src, dst].map((host) => prepareVmHost(host, testbed)));
  const { accelerator, reason } = await probeAccelerator(src, {
    kernelPath: image.kernelPath,
    initrdPath,
    log,
  });
  log(reason);
  const machine: MachineDescription = {
    ...firstVm.machine,
    accelerator,
    memoryBytes: 384 * mib,
    processors: 1,
    kernelPath: image.kernelPath,
    initrdPath,
    guestAddress: testbed.guestAddress,
    bufferPoolBytes: 128 * mib,
    disk: { kind: 'nfs', server: testbed.networks.storage.addresses.nfs, path: diskPath },
    role: 'source',
  };
  return { testbed, machine, serverVersion: image.serverVersion, diskPath };
}
