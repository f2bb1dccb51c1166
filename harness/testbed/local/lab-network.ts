/** Names and addresses of the local lab. Pure. */
import { type HostName, type NetworkName, type NetworkPlan, hostNames, networkNames } from '../host.ts';
import type { SshEntry } from '../ssh-config.ts';

/** Every network of the lab with its interface name in each host and its /24. Only the control network is unshaped. */
export const labNetworks = {
  control: { interfaceName: 'ctl', prefix: '10.40.0' },
  migration: { interfaceName: 'mig', prefix: '10.10.0' },
  storage: { interfaceName: 'sto', prefix: '10.20.0' },
  service: { interfaceName: 'svc', prefix: '10.30.0' },
} as const;
type LabNetworkName = keyof typeof labNetworks;

export const guestAddress = '10.30.0.10/24';

export function labAddress(network: LabNetworkName, host: HostName): string {
  return `${labNetworks[network].prefix}.${hostNames.indexOf(host) + 1}`;
}

export type NetworkRates = Readonly<Record<NetworkName, number | undefined>>;

export function networkPlans(rates: NetworkRates): Readonly<Record<NetworkName, NetworkPlan>> {
  const perHost = (value: (host: HostName) => string): Readonly<Record<HostName, string>> =>
    Object.fromEntries(hostNames.map((host) => [host, value(host)])) as Record<HostName, string>;
  const plan = (network: NetworkName): NetworkPlan => ({
    addresses: perHost((host) => labAddress(network, host)),
    interfaces: perHost(() => labNetworks[network].interfaceName),
    rateBitsPerSecond: rates[network],
  });
  return Object.fromEntries(networkNames.map((network) => [network, plan(network)])) as Record<
    NetworkName,
    NetworkPlan
  >;
}

/** The lab's machines as ssh reaches them; `proxyCommand` joins the lab's network from outside, `%h` is the host's address. */
export function labSshEntries(folder: string, proxyCommand: string): readonly SshEntry[] {
  const shared = { user: 'root', identityFile: `${folder}/id`, hostKey: { kind: 'address' } } as const;
  return [
    ...hostNames.map((alias) => ({ ...shared, alias, address: labAddress('control', alias), proxyCommand })),
    {
      ...{ ...shared, alias: 'guest', address: guestAddress.split('/')[0] ?? '' },
      ...{ hostKey: { kind: 'alias' }, proxyJump: 'client', isGuest: true },
    },
  ];
}
