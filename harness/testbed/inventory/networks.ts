/** Addresses and interfaces that an inventory names. Pure. */
import { type HostName, type NetworkName, type NetworkPlan, hostNames } from '../host.ts';
import type { Inventory } from './schema.ts';

/** @param rates in bits per second, of networks that are shaped */
export function networksOf(
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
