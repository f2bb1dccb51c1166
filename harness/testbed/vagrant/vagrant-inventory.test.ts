/** From what Vagrant and its machines say to an inventory. */
import test from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { vagrantTestbed } from '../../../vagrant/testbed.ts';
import { hostNames } from '../host.ts';
import { parseInventory } from '../inventory/read-inventory.ts';
import { type MachineAnswer, parseMachineAnswer, parseSshConfig } from './answers.ts';
import { vagrantMachines } from './machines.ts';
import { vagrantInventory } from './vagrant-inventory.ts';

/** As Vagrant 2.3.4 writes it with vagrant-libvirt (templates/commands/ssh_config/config.erb), an entry for each machine. */
const entry = (name: string, last: number): string => `Host ${name}
  HostName 192.168.121.${last}
  User vagrant
  Port 22
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  PasswordAuthentication no
  IdentityFile "/home/some body/poolshift/vagrant/.vagrant/machines/${name}/libvirt/private_key"
  IdentityFile /home/somebody/.vagrant.d/insecure_private_key
  IdentitiesOnly yes
  LogLevel FATAL

`;
const config = hostNames.map((name, index) => entry(name, 11 + index)).join('');

const machines = vagrantMachines(vagrantTestbed);

/** A terminal's line ends, an interface of Vagrant's own, and one that somebody renamed. */
const said = (index: number): string =>
  [
    'host-key ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYg==',
    'interface 52:54:00:aa:bb:cc ens5',
    ...(machines.machines[index]?.networks ?? []).map(
      ({ mac }, network) => `interface ${mac} eth${network}x`,
    ),
    'Connection to 192.168.121.11 closed.',
  ].join('\r\n');
const answers = Object.fromEntries(
  hostNames.map((name, index) => [name, parseMachineAnswer(name, said(index))]),
) as Record<(typeof hostNames)[number], MachineAnswer>;

test('ssh-config: the first key counts, and paths may have blanks', (t) => {
  const { src, client } = parseSshConfig(config);
  t.deepEqual(src, {
    address: '192.168.121.11',
    port: 22,
    user: 'vagrant',
    identityFile: '/home/some body/poolshift/vagrant/.vagrant/machines/src/libvirt/private_key',
  });
  t.is(client.address, '192.168.121.14');
  t.is(client.proxyCommand, undefined);
  const far = parseSshConfig(
    config.replaceAll('  Port', '  ProxyCommand ssh -W "%h:%p" kvm.example.org\n  Port'),
  );
  t.is(far.dst.proxyCommand, 'ssh -W "%h:%p" kvm.example.org');
});

test('ssh-config: a machine that is missing, or half there, is named', (t) => {
  const missing = t.throws(() => parseSshConfig(entry('src', 11)), {
    instanceOf: CodedError,
    name: 'VagrantError',
  });
  t.is(missing.message, '"vagrant ssh-config" has no machine dst');
  t.regex(t.throws(() => parseSshConfig(config.replace('  Port 22\n', ''))).message, /no Port for src/);
});

test("a machine's answer has its host key and interfaces", (t) => {
  t.is(answers.dst.hostKey, 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYg==');
  t.is(answers.dst.interfaces.get('52:54:00:70:02:02'), 'eth1x');
  const error = t.throws(() => parseMachineAnswer('nfs', 'bash: cut: not found\r\n'));
  t.regex(error.message, /^nfs does not tell its host key; it said:\nbash/);
});

test('the inventory is one that can be read, with keys, interfaces by hardware address, and the mount', (t) => {
  const content = vagrantInventory({
    machines,
    access: parseSshConfig(config),
    answers,
    mountPath: '/mnt/poolshift',
  });
  const { hosts, nfs, guestAddress, shape } = parseInventory(content, '/vagrant/hosts.yaml');
  t.like(hosts.dst, {
    ssh: { address: '192.168.121.12', user: 'vagrant', hostKey: answers.dst.hostKey },
    networks: {
      migration: { address: '10.10.0.2', interface: 'eth0x' },
      storage: { address: '10.20.0.2', interface: 'eth1x' },
      service: { address: '10.30.0.2', interface: 'eth2x' },
    },
  });
  t.deepEqual(nfs, { export: '/srv/export', mount: '/mnt/poolshift' });
  t.is(guestAddress, '10.30.0.10/24');
  t.true(shape);
});

test("where a kernel cannot mount, QEMU's own client reads the export", (t) => {
  const content = vagrantInventory({
    machines,
    access: parseSshConfig(config),
    answers,
    mountPath: undefined,
  });
  t.is(parseInventory(content, 'hosts.yaml').nfs.mount, undefined);
});

test('a machine without the interface that it was given is named', (t) => {
  const bare = { ...answers, nfs: { ...answers.nfs, interfaces: new Map<string, string>() } };
  const error = t.throws(
    () => vagrantInventory({ machines, access: parseSshConfig(config), answers: bare, mountPath: undefined }),
    { instanceOf: CodedError, name: 'VagrantError' },
  );
  t.regex(error.message, /^nfs has no interface 52:54:00:70:01:03 \(migration\); "vagrant reload nfs"/);
});

test('VM hosts are told what to mount, the others are not', (t) => {
  t.deepEqual(
    machines.machines.map(({ name, mounts }) => [name, mounts]),
    [
      ['src', '10.20.0.3:/export'],
      ['dst', '10.20.0.3:/export'],
      ['nfs', undefined],
      ['client', undefined],
    ],
  );
});
