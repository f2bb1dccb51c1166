/** Versions, machine and checkout: everything that a run's figures may depend on. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { promisify } from 'node:util';
import type { GuestImage } from '../../guest/image/prepare-guest-image.ts';
import type { Manifest } from '../../record/manifest.ts';
import type { Host, Testbed } from '../testbed/host.ts';
import { quote } from '../../foundation/shell.ts';

async function firstLine(host: Host, command: string): Promise<string | undefined> {
  const { stdout } = await host.run(`${command} 2>&1 | head -n 1`);
  return stdout.trim() === '' ? undefined : stdout.trim();
}

export async function collectVersions(testbed: Testbed, image: GuestImage): Promise<Manifest['versions']> {
  const { src, nfs, client } = testbed.hosts;
  // ganesha in the local lab, the kernel's server elsewhere.
  const nfsServer = `dpkg-query --show --showformat '\${db:Status-Status} \${Package} \${Version}\\n' nfs-ganesha nfs-kernel-server 2> /dev/null | sed -n 's/^installed //p'`;
  return {
    qemu: await firstLine(src, `${quote(src.qemuBinary)} --version`),
    hostKernel: await firstLine(src, 'uname -r'),
    guestKernel: image.kernelVersion,
    databaseServer: image.serverVersion,
    sysbench: await firstLine(client, 'sysbench --version'),
    nfsServer: await firstLine(nfs, nfsServer),
    node: process.versions.node,
  };
}

/** The machine behind a host, as `collectMachine` tells it of this one. @throws CodedError 'host' */
export async function collectHostMachine(host: Host): Promise<Manifest['machine']> {
  const { stdout } = await host.run(`sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1
nproc
awk '/^MemTotal:/ {printf "%d\\n", $2 * 1024}' /proc/meminfo
uname -r
. /etc/os-release; echo "$PRETTY_NAME"`);
  const [cpuModel = 'unknown', cores, memoryBytes, kernel = 'unknown', distribution = 'unknown'] =
    stdout.split('\n');
  return { cpuModel, cores: Number(cores), memoryBytes: Number(memoryBytes), kernel, distribution };
}

/** The machine that the harness runs on; with the local testbed, that of all hosts. */
export async function collectMachine(): Promise<Manifest['machine']> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return {
    cpuModel: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    distribution: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? 'unknown',
  };
}

/** Commit and state of the checkout at `root`. A copy without git has no commit and counts as changed. */
export async function collectRevision(root: string): Promise<Manifest['revision']> {
  const git = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)('git', ['-C', root, ...args]);
    return stdout.trim();
  };
  try {
    return { commit: await git('rev-parse', 'HEAD'), dirty: (await git('status', '--porcelain')) !== '' };
  } catch {
    return { dirty: true };
  }
}
