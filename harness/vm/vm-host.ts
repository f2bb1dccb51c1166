/** Makes a host ready for its machines: each guest becomes one more station on the service network. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host, Testbed } from '../testbed/host.ts';
import { makeRunFolder } from '../testbed/ssh-host.ts';
import { requireNoVm } from './machine.ts';
import { firstVm, type VmPlace, vmPlaces } from './vm-place.ts';

export const bridgeName = 'psbr0';
/** `ip link` says it of every interface that was made here: no other is changed or deleted, whatever its name. */
const ownAlias = 'poolshift';

/** Shell functions: whether there is such an interface, and whether it was made here. */
export const interfaceFunctions = `exists() { ip link show dev "$1" > /dev/null 2>&1; }
own() { ip link show dev "$1" 2> /dev/null | grep -qx ' *alias ${ownAlias}'; }`;

/**
 * Shell script: prints a line for everything that forbids a bridge there. It changes nothing.
 * @param serviceInterface loses its addresses to the bridge, and with them the routes that are not the kernel's own
 */
export function obstaclesScript(serviceInterface: string): string {
  return `${interfaceFunctions}
for name in ${bridgeName} ${tapsOf(vmPlaces)}; do
  if exists $name && ! own $name; then echo "$name is there and is not Poolshift's"; fi
done
if [ -n "$(ip -o link show dev ${serviceInterface} type bridge 2> /dev/null)" ]; then
  echo "${serviceInterface} (service) is a bridge, which cannot be a port of another"
fi
master=$(ip -o link show dev ${serviceInterface} 2> /dev/null | sed -n 's/.* master \\([^ ]*\\) .*/\\1/p')
if [ "\${master:-${bridgeName}}" != ${bridgeName} ]; then
  echo "${serviceInterface} (service) belongs to $master, and would be taken out of it"
fi
routes=$(ip -4 route show table all dev ${serviceInterface} 2> /dev/null | grep -v ' proto kernel ' | sed 's/ *$//' | paste -sd ,)
if [ -n "$routes" ]; then echo "${serviceInterface} (service) has routes, which would be lost: $routes"; fi
`;
}

/** What to do about such lines. */
export const obstacleFix =
  "name another interface for service; one that is not Poolshift's but has a name of its own must be renamed";

/**
 * Refuses a host whose interfaces are not to be changed (`obstaclesScript`).
 * @throws CodedError 'inventory', 'invalid'; CodedError 'host'
 */
async function requireRoomForBridge(host: Host, { networks }: Pick<Testbed, 'networks'>): Promise<void> {
  const { stdout } = await host.run(obstaclesScript(networks.service.interfaces[host.name]));
  const obstacles = stdout.trim().split('\n').join('; ');
  if (obstacles !== '')
    throw new CodedError('inventory', 'invalid', `${host.name}: ${obstacles}; ${obstacleFix}`, {
      host: host.name,
    });
}

/**
 * Looks whether the host can be prepared, and changes nothing there: a VM that was kept has its disk open.
 * @throws CodedError 'vm', 'already-running'; CodedError 'inventory', 'invalid' for interfaces that are not to be changed;
 * CodedError 'host'
 */
export async function requireFreeVmHost(host: Host, testbed: Pick<Testbed, 'networks'>): Promise<void> {
  for (const place of vmPlaces) await requireNoVm(host, place);
  await requireRoomForBridge(host, testbed);
}

/**
 * Puts the host's service interface and a tap interface for each guest on one bridge; the host's addresses move to the
 * bridge. Shaping stays on the service interface. Idempotent.
 * @throws CodedError 'inventory', 'invalid' for interfaces that are not to be changed; CodedError 'host'
 */
export async function prepareVmHost(
  host: Host,
  testbed: Pick<Testbed, 'networks'>,
  vms: readonly VmPlace[] = [firstVm],
): Promise<void> {
  await requireRoomForBridge(host, testbed);
  await host.run(vmHostScript(testbed.networks.service.interfaces[host.name], tapsOf(vms)));
}

/**
 * Shell function: moves the IPv4 addresses of one interface to another, as they are. Both have them for a moment, so that none is
 * lost where it ends half-way.
 */
const moveAddresses = `move_addresses() {
  ip -4 -o addr show dev "$1" | sed -n 's/.* inet \\(.* scope [^ ]*\\) .*/\\1/p' |
    while read -r address; do ip addr replace $address dev "$2"; done
  ip -4 addr flush dev "$1"
}`;

/** Shell script; the whole of it runs in one ssh command, so a host that is reached over this interface stays reachable. */
function vmHostScript(serviceInterface: string, taps: string): string {
  return `set -eu
${makeRunFolder}
${interfaceFunctions}
${moveAddresses}
if ! exists ${bridgeName}; then
  # Its own hardware address, or the bridge would take the lowest of its ports', which changes with every tap.
  address=$(ip -o link show dev ${serviceInterface} | sed -n 's|.* link/ether \\([^ ]*\\) .*|\\1|p')
  ip link add ${bridgeName} address "$address" type bridge forward_delay 0
  ip link set ${bridgeName} alias ${ownAlias}
fi
ip link set ${bridgeName} up
ip link set ${serviceInterface} master ${bridgeName}
move_addresses ${serviceInterface} ${bridgeName}
for tap in ${taps}; do
  if ! exists $tap; then
    ip tuntap add $tap mode tap
    ip link set $tap alias ${ownAlias}
  fi
  ip link set $tap master ${bridgeName} up
done
`;
}

function tapsOf(vms: readonly VmPlace[]): string {
  return vms.map(({ machine }) => machine.tapInterface).join(' ');
}

/**
 * Takes the bridge away and gives the service interface its addresses back. Idempotent.
 * @throws CodedError 'host'
 */
export async function releaseVmHost(host: Host, testbed: Pick<Testbed, 'networks'>): Promise<void> {
  await host.run(releaseScript(testbed.networks.service.interfaces[host.name]));
}

function releaseScript(serviceInterface: string): string {
  return `set -eu
${interfaceFunctions}
${moveAddresses}
for tap in ${tapsOf(vmPlaces)}; do
  if own $tap; then ip link del $tap; fi
done
own ${bridgeName} || exit 0
move_addresses ${bridgeName} ${serviceInterface}
ip link del ${bridgeName}
`;
}
