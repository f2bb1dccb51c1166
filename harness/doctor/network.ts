/** Whether machines reach each other over the measured networks, and what the links carry. */
import { goodputPort, measureGoodput } from '../run/links.ts';
import type { HostName, NetworkName, Testbed } from '../testbed/host.ts';
import { type Finding, verdict } from './finding.ts';

type Machines = Pick<Testbed, 'hosts' | 'networks'>;

/** Who speaks with whom in a run. */
export const neededPaths = [
  { network: 'migration', from: 'src', to: 'dst' },
  { network: 'storage', from: 'src', to: 'nfs' },
  { network: 'storage', from: 'dst', to: 'nfs' },
  { network: 'service', from: 'client', to: 'src' },
  { network: 'service', from: 'client', to: 'dst' },
] as const;

async function answers({ hosts }: Machines, from: HostName, address: string): Promise<boolean> {
  const { exitCode } = await hosts[from].run(`ping -n -c 2 -i 0.2 -W 1 ${address}`, {
    okExitCodes: [0, 1, 2],
  });
  return exitCode === 0;
}

/** @throws CodedError 'host' */
export async function examinePath(
  machines: Machines,
  { network, from, to }: { readonly network: NetworkName; readonly from: HostName; readonly to: HostName },
): Promise<Finding> {
  const address = machines.networks[network].addresses[to];
  return (await answers(machines, from, address))
    ? verdict(`${network} network`, [from, to], `${address} answers`)
    : verdict(`${network} network`, [from, to], `${address} does not answer ${from}`, {
        status: 'problem',
        fix: `check that both interfaces are up and on one segment, and that no firewall stands between them`,
      });
}

/** Nobody may have the guest's address. @throws CodedError 'host' */
export async function examineGuestAddress(machines: Machines, guestAddress: string): Promise<Finding> {
  const address = guestAddress.split('/')[0] ?? '';
  return (await answers(machines, 'client', address))
    ? verdict("guest's address", ['client'], `${address} answers already`, {
        status: 'problem',
        fix: 'name a free address as guestAddress, or end the VM that has it',
      })
    : verdict("guest's address", ['client'], `${address} is free`);
}

/** Links that carry what is measured, each with the port that a run uses there, so that a firewall shows. */
export const measuredLinks = [
  { network: 'migration', from: 'src', to: 'dst', port: 4444 },
  { network: 'storage', from: 'nfs', to: 'dst', port: goodputPort },
] as const;

interface WantedRate {
  readonly bitsPerSecond: number;
  /** Whether the testbed sets it. */
  readonly shaped: boolean;
}

/** One TCP stream for 3 s. @throws CodedError 'host' */
export async function examineLink(
  machines: Machines,
  link: (typeof measuredLinks)[number],
  wanted: WantedRate,
): Promise<Finding> {
  const { network, from, to, port } = link;
  const bytesPerSecond = await measureGoodput(machines, network, from, to, port);
  return judgeLink(link, bytesPerSecond * 8, wanted);
}

/** Headers take 5 % of Ethernet; the rest is what a short measurement may miss. */
const minShare = 0.85;
const maxShare = 1.25;

const mbit = (bitsPerSecond: number): string => `${Math.round(bitsPerSecond / 1e6)} Mbit/s`;

export function judgeLink(
  { network, from, to }: Pick<(typeof measuredLinks)[number], 'network' | 'from' | 'to'>,
  payloadBitsPerSecond: number,
  { bitsPerSecond, shaped }: WantedRate,
): Finding {
  const check = `${network} link`;
  const found = `carries ${mbit(payloadBitsPerSecond)} of payload from ${from} to ${to}, ${mbit(bitsPerSecond)} ${shaped ? 'will be set' : 'is wanted'}`;
  if (payloadBitsPerSecond < minShare * bitsPerSecond)
    return verdict(check, [from, to], found, {
      status: 'problem',
      fix: `end what else uses the link, see what "ethtool" says of its speed, or give a lower --${network}-rate`,
    });
  if (!shaped && payloadBitsPerSecond > maxShare * bitsPerSecond)
    return verdict(check, [from, to], found, {
      status: 'warning',
      fix: `say "shape: true" in the inventory to have the rate set, or give --${network}-rate what the link has`,
    });
  return verdict(check, [from, to], found);
}
