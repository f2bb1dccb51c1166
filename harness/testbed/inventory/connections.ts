/** ssh connections to the machines of an inventory, with keys and known hosts of their own. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { type HostName, hostNames } from '../host.ts';
import { type SshEntry, sshConfig } from '../ssh-config.ts';
import { SshHost } from '../ssh-host.ts';
import type { Inventory } from './schema.ts';

const run = promisify(execFile);

export interface Connections {
  /** Only its owner may enter: it holds keys and the sockets of open connections. */
  readonly folder: string;
  readonly configPath: string;
  /** Connected when they are first used. */
  readonly hosts: Readonly<Record<HostName, SshHost>>;
  /** A VM, once its address is there. */
  readonly guest: (address: string) => SshHost<'guest'>;
  /** Ends all connections and removes the folder. Idempotent. */
  disconnect(): Promise<void>;
}

/** The key that the guest lets in. */
export const ownKey = (folder: string): string => path.join(folder, 'id');

export async function openConnections(inventory: Inventory): Promise<Connections> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-'));
  const configPath = path.join(folder, 'ssh_config');
  const host = (name: HostName): SshHost => {
    const described = inventory.hosts[name];
    return new SshHost({
      name,
      qemuBinary: 'qemu' in described ? described.qemu : 'qemu-system-x86_64',
      configPath,
      socketFolder: folder,
      sudo: described.ssh.user !== 'root',
    });
  };
  const keys = hostNames.flatMap((name) => {
    const { hostKey } = inventory.hosts[name].ssh;
    return hostKey === undefined ? [] : [`${name} ${hostKey}\n`];
  });
  await writeFile(path.join(folder, 'known_hosts'), keys.join(''));
  await writeFile(
    configPath,
    sshConfig(folder, [...inventoryEntries(inventory), guestEntry(folder, inventory)]),
  );
  return {
    folder,
    configPath,
    hosts: { src: host('src'), dst: host('dst'), nfs: host('nfs'), client: host('client') },
    guest: (address) =>
      new SshHost({
        ...{ name: 'guest', address, qemuBinary: '', sudo: false },
        ...{ configPath, socketFolder: folder },
      }),
    disconnect: async () => {
      await Promise.all(
        hostNames.map((name) =>
          run('ssh', ['-F', configPath, '-O', 'exit', name], { timeout: 2000 }).catch(() => undefined),
        ),
      );
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function inventoryEntries(inventory: Inventory): readonly SshEntry[] {
  return hostNames.map((alias) => {
    const { hostKey: _, knownHostsFile, ...entry } = inventory.hosts[alias].ssh;
    return {
      ...entry,
      alias,
      hostKey: knownHostsFile === undefined ? { kind: 'alias' } : { kind: 'file', path: knownHostsFile },
    };
  });
}

function guestEntry(folder: string, { guestAddress }: Inventory): SshEntry {
  return {
    ...{ alias: 'guest', address: guestAddress.split('/')[0] ?? '', user: 'root' },
    ...{ identityFile: ownKey(folder), hostKey: { kind: 'alias' } as const },
    ...{ proxyJump: 'client', isGuest: true },
  };
}
