/** Versions of everything that a run's figures may depend on. */
import type { GuestImage } from '../../guest/image/prepare-guest-image.ts';
import type { Manifest } from '../record/manifest.ts';
import type { Host, Testbed } from '../testbed/host.ts';

async function firstLine(host: Host, command: string): Promise<string | undefined> {
  const { stdout } = await host.run(`${command} 2>&1 | head -n 1`);
  return stdout.trim() === '' ? undefined : stdout.trim();
}

export async function collectVersions(testbed: Testbed, image: GuestImage): Promise<Manifest['versions']> {
  const { src, nfs, client } = testbed.hosts;
  return {
    qemu: await firstLine(src, 'qemu-system-x86_64 --version'),
    hostKernel: await firstLine(src, 'uname -r'),
    guestKernel: image.kernelVersion,
    databaseServer: image.serverVersion,
    sysbench: await firstLine(client, 'sysbench --version'),
    nfsServer: await firstLine(nfs, "dpkg-query --show --showformat 'nfs-ganesha ${Version}' nfs-ganesha"),
    node: process.versions.node,
  };
}
