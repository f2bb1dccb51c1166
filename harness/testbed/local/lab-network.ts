/** Names and addresses of the local lab. Pure. */
import { type HostName, type NetworkName, type NetworkPlan, hostNames, networkNames } from '../host.ts';

/** Every network of the lab with its interface name in each host and its /24. Only the control network is unshaped. */
export const labNetworks = {
  control: { interfaceName: 'ctl', prefix: '10.40.0' },
  migration: { interfaceName: 'mig', prefix: '10.10.0' },
  storage: { interfaceName: 'sto', prefix: '10.20.0' },
  service: { interfaceName: 'svc', prefix: '10.30.0' },
} as const;
export type LabNetworkName = keyof typeof labNetworks;

/** Where the harness stands on the control network. */
export const stationAddress = '10.40.0.254';
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

/**
 * Arguments of `tc qdisc` that shape an interface. A bucket of 4 ms keeps a slow timer from costing throughput, and one
 * below 64 KiB drops segments of the size that the kernel hands over.
 */
export function shapingArguments(rateBitsPerSecond: number | undefined): readonly string[] {
  if (rateBitsPerSecond === undefined) return ['pfifo_fast'];
  const burstBytes = Math.max(
    65_536,
    Math.round((rateBitsPerSecond / 8) * 0.002),
    Math.min(262_144, Math.round((rateBitsPerSecond / 8) * 0.004)),
  );
  return ['tbf', 'rate', `${rateBitsPerSecond}bit`, 'burst', `${burstBytes}`, 'latency', '20ms'];
}

/** ssh configuration of the lab: own key, own known hosts, nothing of the user's. */
export function sshConfig(options: {
  readonly folder: string;
  /** Joins the lab's network from outside; `%h` is the host's address. */
  readonly proxyCommand: string;
}): string {
  const { folder, proxyCommand } = options;
  const hosts = hostNames.map((host) => `Host ${host}\n  HostName ${labAddress('control', host)}\n`);
  return `${hosts.join('')}Host guest
  HostName ${guestAddress.split('/')[0] ?? ''}
  ProxyJump client
Host *
  User root
  IdentityFile ${folder}/id
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile ${folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  PasswordAuthentication no
  LogLevel ERROR
  ConnectTimeout 5
  ServerAliveInterval 10
  ControlMaster auto
  ControlPath ${folder}/m-%n
  ControlPersist 600
Host ${hostNames.join(' ')}
  ProxyCommand ${proxyCommand}
`;
}
