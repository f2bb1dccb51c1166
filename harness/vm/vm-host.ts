/** Makes a host ready for its machines: each guest becomes one more station on the service network. */
import type { Host, Testbed } from '../testbed/host.ts';
import { makeRunFolder } from '../testbed/ssh-host.ts';
import { firstVm, type VmPlace, vmPlaces } from './vm-place.ts';

export const bridgeName = 'br0';

/**
 * Puts the host's service interface and a tap interface for each guest on one bridge; the host's address moves to the
 * bridge. Shaping stays on the service interface. Idempotent.
 * @throws CodedError 'host'
 */
export async function prepareVmHost(
  host: Host,
  testbed: Testbed,
  vms: readonly VmPlace[] = [firstVm],
): Promise<void> {
  const { interfaces, addresses } = testbed.networks.service;
  await host.run(vmHostScript(interfaces[host.name], addresses[host.name], tapsOf(vms)));
}

/** Shell script; the whole of it runs in one ssh command, so a host that is reached over this interface stays reachable. */
function vmHostScript(serviceInterface: string, address: string, taps: string): string {
  return `set -eu
${makeRunFolder}
if ! ip link show ${bridgeName} > /dev/null 2>&1; then
  # Its own hardware address, or the bridge would take the lowest of its ports', which changes with every tap.
  ip link add ${bridgeName} address "$(cat /sys/class/net/${serviceInterface}/address)" type bridge forward_delay 0
fi
ip link set ${bridgeName} up
prefix=$(ip -4 -o addr show dev ${serviceInterface} | sed -n 's|.* inet ${address.replaceAll('.', '\\.')}/\\([0-9]*\\) .*|\\1|p')
if [ -n "$prefix" ]; then
  ip addr del ${address}/"$prefix" dev ${serviceInterface}
  ip addr add ${address}/"$prefix" dev ${bridgeName}
fi
ip link set ${serviceInterface} master ${bridgeName}
for tap in ${taps}; do
  if ! ip link show $tap > /dev/null 2>&1; then ip tuntap add $tap mode tap; fi
  ip link set $tap master ${bridgeName} up
done
`;
}

function tapsOf(vms: readonly VmPlace[]): string {
  return vms.map(({ machine }) => machine.tapInterface).join(' ');
}

/**
 * Takes the bridge away and gives the service interface its address back. Idempotent.
 * @throws CodedError 'host'
 */
export async function releaseVmHost(host: Host, testbed: Testbed): Promise<void> {
  const { interfaces, addresses } = testbed.networks.service;
  await host.run(releaseScript(interfaces[host.name], addresses[host.name]));
}

function releaseScript(serviceInterface: string, address: string): string {
  return `set -eu
for tap in ${tapsOf(vmPlaces)}; do
  if ip link show $tap > /dev/null 2>&1; then ip link del $tap; fi
done
ip link show ${bridgeName} > /dev/null 2>&1 || exit 0
prefix=$(ip -4 -o addr show dev ${bridgeName} | sed -n 's|.* inet ${address.replaceAll('.', '\\.')}/\\([0-9]*\\) .*|\\1|p')
ip link set ${serviceInterface} nomaster
ip link del ${bridgeName}
if [ -n "$prefix" ]; then ip addr add ${address}/"$prefix" dev ${serviceInterface}; fi
`;
}
