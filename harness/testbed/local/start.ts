/** The local testbed: four containers on this machine, made when asked for or already up. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { $ } from 'zx';
import { machinePackages } from '../../../scripts/debian-packages.ts';
import { CodedError } from '../../../foundation/coded-error.ts';
import { type Log, cacheRoot } from '../../../scripts/cache.ts';
import { ensurePackages } from '../../../scripts/packages.ts';
import {
  type Host,
  type HostName,
  type NetworkName,
  type Testbed,
  hostNames,
  networkNames,
} from '../host.ts';
import { shapingArguments } from '../shaping.ts';
import { makeRunFolder, SshHost } from '../ssh-host.ts';
import { startGanesha } from './ganesha.ts';
import { type NetworkRates, guestAddress, labNetworks, networkPlans } from './lab-network.ts';
import { authorizedKeyPath, guestHostKeyPath, labFolder, sshConfigPath } from './lab-folder.ts';
import { requireRoot, startLab, stopLab, waitForRoom } from './lab-process.ts';
import { type LabState, currentLab, recordRates } from './lab-state.ts';
import { prepareRootfs } from './rootfs.ts';

export const exportPath = '/srv/export';
const bootAttempts = 300;

interface LocalTestbedOptions {
  readonly rates: NetworkRates;
  /** Whether to leave the lab up; asked when the testbed is closed. */
  readonly keep: () => boolean;
  /** What the user ran, for the message that another user of this machine gets. */
  readonly owner: string;
  readonly log: Log;
}

/** Makes what every lab needs and starts nothing; returns the hosts' root file system. @throws CodedError 'set-up' */
export async function prepareLocalTestbed(log: Log): Promise<string> {
  await ensurePackages(machinePackages.lab, log);
  return prepareRootfs(log);
}

/**
 * Makes the lab and waits until every host answers.
 * @throws CodedError 'lab', CodedError 'set-up', CodedError 'set-up', CodedError 'host'
 */
export async function startLocalTestbed({ rates, keep, owner, log }: LocalTestbedOptions): Promise<Testbed> {
  requireRoot();
  await waitForRoom(log);
  const rootfs = await prepareLocalTestbed(log);
  const lab = await startLab({ rootfs, owner, rates, log });
  const testbed = testbedOf(lab.state, async () => {
    if (keep()) await lab.keep();
    else await stopLab(lab.state);
  });
  try {
    await Promise.all(hostNames.map((host) => waitForHost(testbed.hosts[host])));
    await Promise.all(networkNames.map((network) => shape(lab.state, network, rates[network])));
    await startGanesha(testbed.hosts.nfs, exportPath);
    return testbed;
  } catch (error) {
    await stopLab(lab.state);
    throw error;
  }
}

/** The lab that is up already. Closing it leaves it up. @throws CodedError 'lab', 'not-up' */
export async function attachLocalTestbed(): Promise<Testbed> {
  const lab = await currentLab();
  if (lab === undefined)
    throw new CodedError('lab', 'not-up', 'no lab is up; start one with: npm run lab -- up');
  return testbedOf(lab, () => Promise.resolve());
}

async function waitForHost(host: Host): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await host.run(makeRunFolder, { timeoutMs: 10_000 });
      return;
    } catch (error) {
      if (attempt < bootAttempts && !existsSync(path.join(labFolder, `${host.name}.ended`))) {
        await sleep(100);
        continue;
      }
      const log = await readFile(path.join(labFolder, `${host.name}.log`), 'utf8').catch(() => '');
      throw new CodedError(
        'lab',
        'start-failed',
        `host ${host.name} does not answer; the end of its log:\n${log.slice(-2000)}`,
        {
          cause: error,
        },
      );
    }
  }
}

function testbedOf(lab: LabState, close: () => Promise<void>): Testbed {
  const host = <Name extends HostName | 'guest'>(name: Name, address?: string): SshHost<Name> =>
    new SshHost({
      name,
      ...(address === undefined ? {} : { address }),
      qemuBinary: 'qemu-system-x86_64',
      configPath: sshConfigPath,
      socketFolder: labFolder,
      sudo: false,
    });
  let rates: NetworkRates = { migration: undefined, storage: undefined, service: undefined, ...lab.rates };
  let closing: Promise<void> | undefined;
  return {
    kind: 'local',
    hosts: { src: host('src'), dst: host('dst'), nfs: host('nfs'), client: host('client') },
    get networks() {
      return networkPlans(rates);
    },
    guestAddress,
    exportPath,
    mountPath: undefined,
    guestKeys: { authorizedKeyPath, hostKeyPath: guestHostKeyPath },
    guest: (address) => host('guest', address),
    sharedCachePath: cacheRoot(),
    shapes: true,
    shape: async (network, rate) => {
      await shape(lab, network, rate);
      rates = { ...rates, [network]: rate };
      await recordRates(lab, rates);
    },
    close: () => (closing ??= close()),
  };
}

/** Both ends of every link: what a host sends, and what it is sent. */
async function shape(
  lab: LabState,
  network: NetworkName,
  rateBitsPerSecond: number | undefined,
): Promise<void> {
  const { interfaceName } = labNetworks[network];
  const qdisc = shapingArguments(rateBitsPerSecond).join(' ');
  const commands = hostNames.flatMap((host) => [
    `ip netns exec ${host} tc qdisc replace dev ${interfaceName} root ${qdisc}`,
    `ip netns exec switch tc qdisc replace dev ${host}-${interfaceName} root ${qdisc}`,
  ]);
  await $({ quiet: true })`nsenter --target ${lab.keeperPid} --mount --net sh -ec ${commands.join('\n')}`;
}
