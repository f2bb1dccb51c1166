/** The local testbed: four containers on this machine, made when asked for or already up. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { type Log, cacheRoot } from '../../../setup/cache.ts';
import { ensurePackages } from '../../../setup/packages.ts';
import {
  type Host,
  type HostName,
  type NetworkName,
  type Testbed,
  hostNames,
  networkNames,
} from '../host.ts';
import { SshHost } from '../ssh-host.ts';
import { startGanesha } from './ganesha.ts';
import { LabError } from './lab-error.ts';
import {
  type NetworkRates,
  guestAddress,
  labAddress,
  labNetworks,
  networkPlans,
  shapingArguments,
} from './lab-network.ts';
import { type LabState, currentLab, labFolder, sshConfigPath, startLab, stopLab } from './lab-process.ts';
import { prepareRootfs } from './rootfs.ts';

/** What the machine itself needs for the local lab. */
const labPackages = [
  'mmdebstrap',
  'systemd-container',
  'socat',
  'iproute2',
  'e2fsprogs',
  'openssh-client',
  'util-linux',
];

const exportPath = '/srv/export';
const bootAttempts = 300;

export interface LocalTestbedOptions {
  readonly rates: NetworkRates;
  /** Whether to leave the lab up; asked when the testbed is closed. */
  readonly keep: () => boolean;
  /** What the user ran, for the message that another user of this machine gets. */
  readonly owner: string;
  readonly log: Log;
}

/**
 * Makes the lab and waits until every host answers.
 * @throws LabError, PackagesError, PrepareError, HostError
 */
export async function startLocalTestbed({ rates, keep, owner, log }: LocalTestbedOptions): Promise<Testbed> {
  await ensurePackages(labPackages, log);
  const rootfs = await prepareRootfs(log);
  const lab = await startLab({
    rootfs,
    owner,
    rates: Object.fromEntries(Object.entries(rates).filter(([, rate]) => rate !== undefined)),
  });
  const testbed = testbedOf(lab.state, async () => {
    if (keep()) await lab.keep();
    else await stopLab();
  });
  try {
    await Promise.all(hostNames.map((host) => waitForHost(testbed.hosts[host])));
    for (const network of networkNames) await testbed.shape(network, rates[network]);
    await startGanesha(testbed.hosts.nfs, exportPath, labAddress('storage', 'nfs'));
    return testbed;
  } catch (error) {
    await stopLab();
    throw error;
  }
}

/** The lab that is up already. Closing it leaves it up. @throws LabError 'not-up' */
export async function attachLocalTestbed(): Promise<Testbed> {
  const lab = await currentLab();
  if (lab === undefined) throw new LabError('not-up', 'no lab is up; start one with: npm run lab -- up');
  return testbedOf(lab, () => Promise.resolve());
}

async function waitForHost(host: Host): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await host.run('mkdir -p /run/poolshift', { timeoutMs: 10_000 });
      return;
    } catch (error) {
      if (attempt < bootAttempts) {
        await sleep(100);
        continue;
      }
      const log = await readFile(path.join(labFolder, `${host.name}.log`), 'utf8').catch(() => '');
      throw new LabError(
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
  const host = (name: HostName): SshHost =>
    new SshHost({ name, configPath: sshConfigPath, socketFolder: labFolder });
  let closing: Promise<void> | undefined;
  return {
    kind: 'local',
    hosts: { src: host('src'), dst: host('dst'), nfs: host('nfs'), client: host('client') },
    networks: networkPlans({ migration: undefined, storage: undefined, service: undefined, ...lab.rates }),
    guestAddress,
    exportPath,
    sharedCachePath: cacheRoot(),
    shape: (network, rate) => shape(lab, network, rate),
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
  await execa('nsenter', [
    '--target',
    String(lab.keeperPid),
    '--mount',
    '--net',
    'sh',
    '-ec',
    commands.join('\n'),
  ]);
}
