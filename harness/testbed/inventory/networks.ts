/** Addresses and interfaces that an inventory names. Pure. */
import { CodedError } from '../../../foundation/coded-error.ts';
import { type HostName, type NetworkName, type NetworkPlan, hostNames, networkNames } from '../host.ts';
import type { Inventory } from './schema.ts';

/**
 * An interface that carries several networks has one rate.
 * @throws CodedError 'inventory', 'invalid' where it is to be set to two: the last one would be the other network's as well
 */
export function refuseTwoRates(
  { hosts, shape }: Inventory,
  rates: Readonly<Record<NetworkName, number | undefined>>,
): void {
  if (!shape) return;
  for (const host of hostNames)
    for (const [index, network] of networkNames.entries())
      for (const other of networkNames.slice(index + 1)) {
        const { interface: name } = hosts[host].networks[network];
        if (name !== hosts[host].networks[other].interface || rates[network] === rates[other]) continue;
        throw new CodedError(
          'inventory',
          'invalid',
          `${network} and ${other} have different rates, and ${host} has one interface for both (${name}): give them one rate, or leave "shape: true" out`,
        );
      }
}

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
