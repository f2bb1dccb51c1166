/**
 * From `vagrant up` to an inventory, with a stand-in for Vagrant, whose VMs need KVM: a script that says what Vagrant says,
 * of the local lab's hosts. What is done on the hosts is done for real. About 5 s.
 */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestFn } from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { vagrantTestbed } from '../../../vagrant/testbed.ts';
import { type HostName, type Testbed, hostNames, networkNames } from '../host.ts';
import { parseInventory } from '../inventory/read-inventory.ts';
import { quote } from '../ssh-host.ts';
import { vagrantMachines } from './machines.ts';
import { startVagrant } from './start.ts';

export interface LabAsMachines {
  readonly testbed: () => Testbed;
  /** ssh configuration with the four hosts. */
  readonly sshConfigPath: string;
  readonly identityFile: string;
  readonly address: (host: HostName) => string;
  readonly proxyCommand: () => Promise<string>;
}

export function testStartVagrant(test: TestFn, lab: LabAsMachines): void {
  test.serial('machines of Vagrant become an inventory, with the NFS server started', async (t) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-vagrant-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await writeFile(path.join(folder, 'vagrant'), await standIn(lab));
    await chmod(path.join(folder, 'vagrant'), 0o755);
    const places = {
      // Files that are there stand for a device and a socket.
      kvmDevice: import.meta.filename,
      libvirtSocket: import.meta.filename,
      env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
    };
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const { hosts, networks } = lab.testbed();
    await hosts.nfs.run('systemctl stop nfs-ganesha');

    const inventory = await startVagrant({ folder, places, log });
    t.is(lines[0], 'src: Machine booted and ready!');
    // No kernel of these hosts mounts NFS; no line in /etc/fstab says that it could.
    t.is(inventory.nfs.mount, undefined);
    t.true(lines.some((line) => line.startsWith('dst: its kernel has no NFS client; QEMU')));
    t.is(inventory.hosts.dst.networks.storage.interface, networks.storage.interfaces.dst);
    const file = path.join(folder, 'hosts.yaml');
    t.deepEqual(parseInventory(await readFile(file, 'utf8'), file), inventory);
    await hosts.nfs.run('systemctl is-active nfs-ganesha');

    const failing = { ...places, env: { ...places.env, STAND_IN_FAILS: 'yes' } };
    const error = await t.throwsAsync(startVagrant({ folder, places: failing, log }), {
      instanceOf: CodedError,
      name: 'VagrantError',
    });
    t.is(error.code, 'up-failed');
    t.regex(error.message, /^"vagrant up" ended with 1:\n.*no domain/s);
  });
}

async function standIn(lab: LabAsMachines): Promise<string> {
  const proxyCommand = await lab.proxyCommand();
  const entries = hostNames.map(
    (name) => `Host ${name}
  HostName ${lab.address(name)}
  User root
  Port 22
  StrictHostKeyChecking no
  IdentityFile ${lab.identityFile}
  ProxyCommand ${proxyCommand}
`,
  );
  // The hardware addresses that Vagrant would have given to the interfaces.
  const addresses = vagrantMachines(vagrantTestbed).machines.map(({ name, networks }) => {
    const rules = networkNames.map((network, index) => {
      const interfaceName = lab.testbed().networks[network].interfaces[name];
      return `s/^interface .* ${interfaceName}$/interface ${networks[index]?.mac ?? ''} ${interfaceName}/`;
    });
    return `  ${name}) rules=${quote(rules.join('; '))} ;;`;
  });
  return `#!/usr/bin/env bash
set -eu
case $1 in
  plugin) echo 'vagrant-libvirt (0.11.2, system)' ;;
  up)
    if [ -n "\${STAND_IN_FAILS-}" ]; then echo 'Call to virDomainCreate failed: no domain' >&2; exit 1; fi
    echo "Bringing machine 'src' up with 'libvirt' provider..."
    echo '==> src: Machine booted and ready!'
    ;;
  ssh-config) printf '%s\\n' ${quote(entries.join('\n'))} ;;
  ssh)
    case $2 in
${addresses.join('\n')}
    esac
    ssh -F ${quote(lab.sshConfigPath)} "$2" "$4" | sed "$rules" | sed 's/$/\\r/'
    ;;
esac
`;
}
