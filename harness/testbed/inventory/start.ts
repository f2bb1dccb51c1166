/** A testbed of machines that an inventory names. They are configured already (docs/real-hosts.md). */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Log } from '../../../setup/cache.ts';
import {
  type Host,
  type HostName,
  type NetworkName,
  type Testbed,
  hostNames,
  networkNames,
} from '../host.ts';
import { shapingArguments } from '../shaping.ts';
import { programFolder } from '../ssh-host.ts';
import { type Connections, openConnections } from './connections.ts';
import { InventoryError } from './inventory-error.ts';
import { networksOf } from './networks.ts';
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
  const connections = await openConnections(inventory);
  const testbed = testbedOf(inventory, connections);
  const close = async (): Promise<void> => {
    if (keep()) {
      log(`connections stay: ssh -F ${connections.configPath} ${hostNames.join('|')}`);
      return;
    }
    if (inventory.shape) await Promise.all(hostNames.map((name) => unshape(testbed, name)));
    await connections.disconnect();
  };
  let closing: Promise<void> | undefined;
  try {
    await makeKeys(connections.folder);
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
    await connections.disconnect();
    throw error;
  }
}

async function makeKeys(folder: string): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'poolshift guest', '-f', guestKey(folder)]);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'poolshift', '-f', ownKey(folder)]);
}

const guestKey = (folder: string): string => path.join(folder, 'guest_host_key');
const ownKey = (folder: string): string => path.join(folder, 'id');

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

function testbedOf(inventory: Inventory, { folder, hosts }: Connections): Testbed {
  const rates = new Map<NetworkName, number>();
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

/** The kernel's default queue comes back when the root one goes. */
async function unshape({ hosts, networks }: Testbed, name: HostName): Promise<void> {
  const commands = networkNames.map(
    (network) => `tc qdisc del dev ${networks[network].interfaces[name]} root 2> /dev/null || true`,
  );
  await hosts[name].run(commands.join('\n'));
}
