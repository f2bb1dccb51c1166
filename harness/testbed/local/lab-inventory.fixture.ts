/** The local lab's hosts as somebody would list machines of their own: by address, with other users, under other names. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { type Host, type HostName, hostNames } from '../host.ts';
import { quote } from '../../../foundation/shell.ts';
import { guestAddress, labAddress, labNetworks } from './lab-network.ts';
import { authorizedKeyPath, labFolder } from './lab-folder.ts';
import { currentLab } from './lab-state.ts';
import { exportPath } from './start.ts';

/** Who logs in: not root, but may become root. */
export const sudoUsers: Readonly<Record<HostName, string>> = {
  src: 'mover',
  dst: 'taker',
  nfs: 'keeper',
  client: 'caller',
};

export async function addSudoUser(host: Host): Promise<void> {
  const sudoUser = sudoUsers[host.name];
  const key = await readFile(authorizedKeyPath, 'utf8');
  await host.run(`set -eu
id ${sudoUser} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash ${sudoUser}
install -d -o ${sudoUser} -m 700 ~${sudoUser}/.ssh
echo ${quote(key.trim())} > ~${sudoUser}/.ssh/authorized_keys
chown ${sudoUser} ~${sudoUser}/.ssh/authorized_keys
echo '${sudoUser} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/${sudoUser}`);
}

/** Machines of somebody have names of their own. They last as long as the lab. */
export async function rename(host: Host, name: string): Promise<void> {
  await host.run(`hostname ${quote(name)} && echo 127.0.1.1 ${quote(name)} >> /etc/hosts`);
}

/**
 * hosts.yaml of the lab that is up. Host keys of src and dst stand in the inventory, those of the others in a file.
 * @param changes.users hosts that are entered as their user of `sudoUsers`, by default src; the others as root
 */
export async function labInventory(
  changes: { readonly dstHostKey?: string; readonly users?: readonly HostName[] } = {},
): Promise<string> {
  const lab = await currentLab();
  const knownHostsFile = path.join(labFolder, 'known_hosts');
  const known = (await readFile(knownHostsFile, 'utf8')).split('\n');
  const hosts = hostNames.map((name) => {
    const address = labAddress('control', name);
    const line = known.find((entry) => entry.startsWith(`${address} `)) ?? '';
    const hostKey = name === 'dst' ? (changes.dstHostKey ?? line) : line;
    const ssh = {
      address,
      user: (changes.users ?? ['src']).includes(name) ? sudoUsers[name] : 'root',
      identityFile: path.join(labFolder, 'id'),
      ...(name === 'src' || name === 'dst' ? { hostKey } : { knownHostsFile }),
      proxyCommand: `setsid nsenter --target ${lab?.keeperPid ?? 0} --net --pid socat - TCP:%h:%p`,
    };
    const networks = Object.fromEntries(
      (['migration', 'storage', 'service'] as const).map((network) => [
        network,
        { address: labAddress(network, name), interface: labNetworks[network].interfaceName },
      ]),
    );
    return [name, { ssh, networks }] as const;
  });
  return stringify({
    hosts: Object.fromEntries(hosts),
    nfs: { export: exportPath },
    guestAddress,
    shape: true,
  });
}
