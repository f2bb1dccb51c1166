/**
 * A guest that was booted and whose pool was warmed once: its memory as a stream of QEMU's, and its disk as it was then. It
 * goes on within seconds where a boot and a warm-up take up to a minute. What was warmed is what a run would have warmed,
 * by the same steps; tests, the soak and `--warm-start` begin with it.
 */
import path from 'node:path';
import { hashFiles, type Log, prepare } from '../../scripts/cache.ts';
import type { DatabaseSystem } from '../../foundation/database-systems.ts';
import type { GuestImage } from '../../guest/image/prepare-guest-image.ts';
import { type MachineDescription, qemuArguments } from '../../qemu/machine-arguments.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { hostFolder, type Testbed } from '../testbed/host.ts';
import { hypervisorOf } from '../vm/accelerator.ts';
import { waitForAgent } from '../vm/guest-agent.ts';
import { continueKeptVm, keepVm } from '../vm/kept-vm.ts';
import { startVm, stopVm, waitForServer } from '../vm/machine.ts';
import { firstVm, type VmPlace } from '../vm/vm-place.ts';
import { whileVmLives } from '../vm/while-vm-lives.ts';
import type { DatabaseServer } from '../workload/database-server.ts';
import { warmUp } from '../workload/warm-up.ts';
import { ageGuest } from './age-guest.ts';
import { copyImage, type Deploy } from './deploy.ts';
import type { DiskPlace } from './disk-place.ts';

/** Ends what hangs: a guest that is emulated on a host that is emulated, too, was seen to boot for twenty minutes. */
export const serverReadyTimeoutMs = 3_600_000;

/** Files of this machine. */
export interface WarmedGuest {
  readonly streamPath: string;
  readonly diskPath: string;
}

interface WarmedGuestOptions {
  readonly testbed: Testbed;
  readonly deploy: Deploy;
  readonly dbms: DatabaseSystem;
  readonly image: GuestImage;
  readonly agentBundlePath: string;
  /** As the source host boots it. */
  readonly machine: MachineDescription;
  /** Where; default: the first. */
  readonly vm?: VmPlace;
  /** Its disk, which is written to. */
  readonly disk: DiskPlace;
  readonly server: DatabaseServer;
  /** Whether it is aged, too, before it is kept. */
  readonly aged: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Returns the guest that was kept for these options, and boots, warms and keeps one first if there is none. No VM runs when
 * this returns.
 * @throws CodedError 'set-up', 'build-failed' with what failed as its cause; CodedError 'host'
 */
export async function prepareWarmedGuest(options: WarmedGuestOptions): Promise<WarmedGuest> {
  const entry = await prepare({
    name: `guest-warmed-${options.dbms}`,
    keyParts: await keyOf(options),
    log: options.log,
    build: (dir) => keepIn(dir, options),
  });
  return guestIn(entry);
}

/** Everything that the kept guest depends on, and how it is made. */
async function keyOf({
  testbed,
  image,
  machine,
  agentBundlePath,
  aged,
}: WarmedGuestOptions): Promise<readonly string[]> {
  // Where a host finds the image's files, and which keys a lab has made for itself, changes nothing of what is kept.
  const anywhere: MachineDescription = {
    ...machine,
    kernelPath: image.kernelPath,
    initrdPath: image.initrdPath,
    disk: { kind: 'file', path: image.diskPath },
  };
  const steps = [
    'warmed-guest.ts',
    '../vm/kept-vm.ts',
    '../vm/guest-agent.ts',
    '../workload/warm-up.ts',
    '../workload/postgresql.ts',
  ];
  if (aged) steps.push('age-guest.ts', '../probes/age-memory.ts');
  return [
    await hypervisorOf(testbed.hosts.src),
    ...qemuArguments(anywhere),
    agentBundlePath,
    await hashFiles(steps.map((file) => path.join(import.meta.dirname, file))),
  ];
}

const guestIn = (folder: string): WarmedGuest => ({
  streamPath: path.join(folder, 'vm.stream'),
  diskPath: path.join(folder, 'disk.img'),
});

async function keepIn(folder: string, options: WarmedGuestOptions): Promise<void> {
  const { testbed, deploy, image, machine, vm = firstVm, disk, server, log, signal } = options;
  const { src, nfs, client } = testbed.hosts;
  const kept = guestIn(folder);
  const stream = `${hostFolder}/kept-vm.stream`;
  try {
    await copyImage(nfs, await deploy(image.diskPath, 'nfs'), disk.serverPath);
    const qmp = await startVm(src, machine, vm, signal);
    await waitForServer({ client, vmHost: src, vm, server, timeoutMs: serverReadyTimeoutMs, signal });
    await whileVmLives(
      qmp,
      warmUp(client, server, () => undefined, signal),
    );
    if (options.aged) await whileVmLives(qmp, ageGuest({ testbed, vm, log, signal }));
    log(await whileVmLives(qmp, waitForAgent(src, signal, vm)));
    await src.run(`install -d -m 700 ${hostFolder}`);
    await keepVm(qmp, stream, signal);
    await stopVm(src, vm);
    qmp.close();
    await src.copyFrom(stream, kept.streamPath);
    await nfs.copyFrom(disk.serverPath, kept.diskPath);
  } finally {
    await stopVm(src, vm);
    await src.run(`rm -f ${stream}`);
  }
}

interface StartWarmedOptions {
  readonly testbed: Testbed;
  readonly deploy: Deploy;
  /** As it was warmed. */
  readonly machine: MachineDescription;
  readonly disk: DiskPlace;
  readonly signal: AbortSignal;
}

/**
 * Gives the disk the content that the guest left it with, and has the guest go on at the source host.
 * @param start starts the VM there, which waits for the guest's stream
 * @throws CodedError 'vm', CodedError 'host', CodedError 'qmp'; the signal's reason when it aborts
 */
export async function startWarmedGuest<Vm extends { readonly qmp: QmpClient }>(
  guest: WarmedGuest,
  { testbed, deploy, machine, disk, signal }: StartWarmedOptions,
  start: (machine: MachineDescription) => Promise<Vm>,
): Promise<Vm> {
  const { nfs, client } = testbed.hosts;
  // The same file as ever: the NFS server knows it.
  await copyImage(nfs, await deploy(guest.diskPath, 'nfs'), disk.serverPath);
  const vm = await start({ ...machine, role: 'target' });
  await continueKeptVm(vm.qmp, await deploy(guest.streamPath, 'src'), signal);
  // The guest answers the client that it knew when it was kept, at that one's hardware address, for half a minute. It learns
  // today's when the client asks for its own.
  await client.run(`ip neigh flush to ${machine.guestAddress.split('/')[0] ?? ''}`);
  return vm;
}
