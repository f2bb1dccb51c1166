/** A testbed of machines that an inventory names. They are configured already (docs/real-hosts.md). */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Log } from '../../../setup/cache.ts';
import {
  type Host,
  type HostName,
  type NetworkName,
  type NetworkPlan,
  type Testbed,
  hostNames,
  networkNames,
} from '../host.ts';
import { shapingArguments } from '../shaping.ts';
import { type SshEntry, sshConfig } from '../ssh-config.ts';
import { SshHost, programFolder } from '../ssh-host.ts';
import { InventoryError } from './inventory-error.ts';
import type { Inventory } from './schema.ts';

const run = promisify(execFile);

export interface InventoryTestbedOptions {
  readonly inventory: Inventory;
  /** Rate of all networks where the inventory lets the testbed shape them. */
  readonly rateBitsPerSecond: number | undefined;
  /** Whether to leave the connections usable by hand; asked when the testbed is closed. */
  readonly keep: () => boolean;
  readonly log: Log;
}

/**
 * Connects to every host, sees that commands run as root there, and brings Node where it is not.
 * @throws InventoryError, HostError 'unreachable' for a host that does not answer or whose host key is another
 */
export async function startInventoryTestbed(options: InventoryTestbedOptions): Promise<Testbed> {
  const { inventory, rateBitsPerSecond, keep, log } = options;
  // Only its owner may enter: it holds keys and the sockets of open connections.
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-'));
  const configPath = path.join(folder, 'ssh_config');
  const testbed = testbedOf(inventory, folder, configPath);
  const close = async (): Promise<void> => {
    if (keep()) {
      log(`connections stay: ssh -F ${configPath} ${hostNames.join('|')}`);
      return;
    }
    if (inventory.shape) await Promise.all(hostNames.map((name) => unshape(testbed, name)));
    await disconnect(folder, configPath);
  };
  let closing: Promise<void> | undefined;
  try {
    await writeSshFiles(inventory, folder, configPath);
    // All of them come to an end before the folder goes that their connections use.
    const taken = await Promise.allSettled(hostNames.map((name) => takeIn(testbed.hosts[name], log)));
    for (const result of taken) if (result.status === 'rejected') throw result.reason;
    if (inventory.shape)
      await Promise.all(networkNames.map((network) => testbed.shape(network, rateBitsPerSecond)));
    return {
      ...testbed,
      get networks() {
        return testbed.networks;
      },
      close: () => (closing ??= close()),
    };
  } catch (error) {
    await disconnect(folder, configPath);
    throw error;
  }
}

async function writeSshFiles(inventory: Inventory, folder: string, configPath: string): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'poolshift guest', '-f', guestKey(folder)]);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'poolshift', '-f', ownKey(folder)]);
  const keys = hostNames.flatMap((name) => {
    const { hostKey } = inventory.hosts[name].ssh;
    return hostKey === undefined ? [] : [`${name} ${/\S+-\S+ [A-Za-z0-9+/=]+/.exec(hostKey)?.[0] ?? ''}\n`];
  });
  await writeFile(path.join(folder, 'known_hosts'), keys.join(''));
  await writeFile(configPath, sshConfig(folder, inventoryEntries(inventory)));
}

const guestKey = (folder: string): string => path.join(folder, 'guest_host_key');
const ownKey = (folder: string): string => path.join(folder, 'id');

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

/** Node is the harness's own, so that all hosts run the same. */
async function takeIn(host: Host, log: Log): Promise<void> {
  const { stdout } = await host.run('id -u; mkdir -p /run/poolshift; node --version || true');
  const [user, node] = stdout.split('\n');
  if (user !== '0')
    throw new InventoryError(`${host.name}: commands run as user ${user ?? ''} there, not as root`);
  if (node === process.version) return;
  log(`${host.name}: copying Node ${process.version}`);
  await host.copyTo(process.execPath, `${programFolder}/node`);
}

function testbedOf(inventory: Inventory, folder: string, configPath: string): Testbed {
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
  const rates = new Map<NetworkName, number>();
  const hosts = { src: host('src'), dst: host('dst'), nfs: host('nfs'), client: host('client') };
  return {
    kind: 'inventory',
    hosts,
    get networks() {
      return networksOf(inventory, rates);
    },
    guestAddress: inventory.guestAddress,
    exportPath: inventory.nfs.export,
    mountPath: inventory.nfs.mount,
    guestKeys: { authorizedKeyPath: `${ownKey(folder)}.pub`, hostKeyPath: guestKey(folder) },
    sharedCachePath: undefined,
    shapes: inventory.shape,
    shape: async (network, rate) => {
      if (!inventory.shape) {
        if (rate === undefined) return;
        throw new InventoryError('rates cannot be set: the inventory does not say "shape: true"');
      }
      const qdisc = shapingArguments(rate).join(' ');
      await Promise.all(
        hostNames.map((name) =>
          hosts[name].run(
            `tc qdisc replace dev ${inventory.hosts[name].networks[network].interface} root ${qdisc}`,
          ),
        ),
      );
      if (rate === undefined) rates.delete(network);
      else rates.set(network, rate);
    },
    close: () => Promise.resolve(),
  };
}

function networksOf(
  inventory: Inventory,
  rates: ReadonlyMap<NetworkName, number>,
): Readonly<Record<NetworkName, NetworkPlan>> {
  const perHost = (value: (host: HostName) => string): Record<HostName, string> =>
    Object.fromEntries(hostNames.map((name) => [name, value(name)])) as Record<HostName, string>;
  const plan = (network: NetworkName): NetworkPlan => ({
    addresses: perHost((name) => inventory.hosts[name].networks[network].address),
    interfaces: perHost((name) => inventory.hosts[name].networks[network].interface),
    rateBitsPerSecond: rates.get(network),
  });
  return { migration: plan('migration'), storage: plan('storage'), service: plan('service') };
}

/** The kernel's default queue comes back when the root one goes. */
async function unshape({ hosts, networks }: Testbed, name: HostName): Promise<void> {
  const commands = networkNames.map(
    (network) => `tc qdisc del dev ${networks[network].interfaces[name]} root 2> /dev/null || true`,
  );
  await hosts[name].run(commands.join('\n'));
}

async function disconnect(folder: string, configPath: string): Promise<void> {
  await Promise.all(
    hostNames.map((name) =>
      run('ssh', ['-F', configPath, '-O', 'exit', name], { timeout: 2000 }).catch(() => undefined),
    ),
  );
  await rm(folder, { recursive: true, force: true });
}
