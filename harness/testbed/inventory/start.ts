/** A testbed of machines that an inventory names. They are configured already (docs/real-hosts.md). */
import { execFile } from 'node:child_process';
import { appendFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { CodedError } from '../../../foundation/coded-error.ts';
import type { Log } from '../../../scripts/cache.ts';
import {
  type Host,
  type HostName,
  type NetworkName,
  type Testbed,
  hostNames,
  networkNames,
} from '../host.ts';
import { shapingArguments } from '../shaping.ts';
import { makeRunFolder, programFolder } from '../ssh-host.ts';
import { type Connections, openConnections, ownKey } from './connections.ts';
import { type Hold, holdHosts } from './hold.ts';
import { networksOf, refuseTwoRates } from './networks.ts';
import type { Inventory } from './schema.ts';

const run = promisify(execFile);

interface InventoryTestbedOptions {
  readonly inventory: Inventory;
  /** Rates of the networks where the inventory lets the testbed shape them. */
  readonly rates: Readonly<Record<NetworkName, number | undefined>>;
  /** Whether to leave the connections usable by hand; asked when the testbed is closed. */
  readonly keep: () => boolean;
  /** What the user ran, for the message that another user of these machines gets. */
  readonly owner: string;
  readonly log: Log;
}

/**
 * Connects to every host, sees that commands run as root there, keeps other users away, and brings Node where it is not.
 * @throws CodedError 'inventory', 'invalid', also where somebody else has a host; CodedError 'host', 'unreachable' for a host that does not answer or whose host key is another
 */
export async function startInventoryTestbed(options: InventoryTestbedOptions): Promise<Testbed> {
  refuseTwoRates(options.inventory, options.rates);
  return startConnected(await openConnections(options.inventory), options);
}

type HostConnections = Omit<Connections, 'hosts' | 'guest'> & Pick<Testbed, 'hosts' | 'guest'>;

/** The same with connections that are there, which it takes over. */
export async function startConnected(
  connections: HostConnections,
  { inventory, rates, keep, owner, log }: InventoryTestbedOptions,
): Promise<Testbed> {
  const testbed = testbedOf(inventory, connections);
  let hold: Hold | undefined;
  let shaping = false;
  /** Whatever a host does not do, the others are let go. @throws what the first host threw */
  const letGo = async (): Promise<void> => {
    try {
      if (shaping) await onEveryHost((name) => unshape(testbed, name));
    } finally {
      await hold?.release();
      await connections.disconnect();
    }
  };
  const close = async (): Promise<void> => {
    if (keep()) {
      await hold?.release();
      log(`connections stay: ssh -F ${connections.configPath} ${hostNames.join('|')}`);
      return;
    }
    await letGo();
  };
  let closing: Promise<void> | undefined;
  try {
    await makeKeys(connections.folder);
    await onEveryHost((name) => meet(testbed.hosts[name]));
    hold = await holdHosts({ hosts: testbed.hosts, owner, log });
    await onEveryHost((name) => bringNode(testbed.hosts[name], log));
    shaping = inventory.shape;
    if (shaping) await allOf(networkNames.map((network) => testbed.shape(network, rates[network])));
    return {
      ...testbed,
      get networks() {
        return testbed.networks;
      },
      close: () => (closing ??= close()),
    };
  } catch (error) {
    await letGo().catch((cause: unknown) => {
      log(`not everything could be undone: ${String(cause)}`);
    });
    throw error;
  }
}

async function makeKeys(folder: string): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'poolshift guest', '-f', guestKey(folder)]);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'poolshift', '-f', ownKey(folder)]);
  const [type = '', key = ''] = (await readFile(`${guestKey(folder)}.pub`, 'utf8')).split(' ');
  await appendFile(path.join(folder, 'known_hosts'), `guest ${type} ${key}\n`);
}

const guestKey = (folder: string): string => path.join(folder, 'guest_host_key');

/** All of them come to an end, also when one fails: what is undone then is not still being done. @throws what the first threw */
async function allOf(actions: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(actions))
    if (result.status === 'rejected') throw result.reason;
}

const onEveryHost = (action: (name: HostName) => Promise<void>): Promise<void> =>
  allOf(hostNames.map(action));

async function meet(host: Host): Promise<void> {
  const user = (await host.run(`id -u; ${makeRunFolder}`)).stdout.trim();
  if (user !== '0')
    throw new CodedError(
      'inventory',
      'invalid',
      `${host.name}: commands run as user ${user} there, not as root`,
    );
}

/** Node is the harness's own, so that all hosts run the same. */
async function bringNode(host: Host, log: Log): Promise<void> {
  if ((await host.run('node --version || true')).stdout.trim() === process.version) return;
  log(`${host.name}: copying Node ${process.version}`);
  await host.copyTo(process.execPath, `${programFolder}/node`);
}

function testbedOf(inventory: Inventory, { folder, hosts, guest }: HostConnections): Testbed {
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
    guest,
    sharedCachePath: undefined,
    shapes: inventory.shape,
    shape: async (network, rate) => {
      if (!inventory.shape) {
        if (rate === undefined) return;
        throw new CodedError(
          'inventory',
          'invalid',
          'rates cannot be set: the inventory does not say "shape: true"',
        );
      }
      const qdisc = shapingArguments(rate).join(' ');
      await onEveryHost(async (name) => {
        await hosts[name].run(
          `tc qdisc replace dev ${inventory.hosts[name].networks[network].interface} root ${qdisc}`,
        );
      });
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
