import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { inventoryEntries } from './connections.ts';
import { parseInventory, readInventory } from './read-inventory.ts';

const host = (last: number): string => `
    ssh: &ssh${last}
      address: 192.0.2.${last}
      identityFile: keys/lab
      hostKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxhYg==
    networks:
      migration: { address: 10.10.0.${last}, interface: eth1 }
      storage: { address: 10.20.0.${last}, interface: eth2 }
      service: { address: 10.30.0.${last}, interface: eth3 }`;

const whole = `hosts:
  src:${host(1)}
  dst:${host(2)}
  nfs:${host(3)}
  client:${host(4)}
nfs:
  export: /srv/export
guestAddress: 10.30.0.10/24
`;

const parse = (text: string) => parseInventory(text, '/lab/hosts.yaml');

test('an inventory has defaults, and paths from its own folder', (t) => {
  const { hosts, nfs, shape } = parse(whole);
  t.is(hosts.src.ssh.user, 'root');
  t.is(hosts.src.ssh.port, 22);
  t.is(hosts.src.qemu, '/usr/bin/qemu-system-x86_64');
  t.is(hosts.client.ssh.identityFile, '/lab/keys/lab');
  t.is(nfs.mount, undefined);
  t.false(shape);
});

test("the home folder and the environment's agent can be named", (t) => {
  const { hosts } = parse(
    whole.replace('identityFile: keys/lab', 'identityFile: ~/key\n      identityAgent: SSH_AUTH_SOCK'),
  );
  t.is(hosts.src.ssh.identityFile, path.join(os.homedir(), 'key'));
  t.is(hosts.src.ssh.identityAgent, 'SSH_AUTH_SOCK');
});

test('a host may have one address and interface for several networks', (t) => {
  const { hosts } = parse(whole.replace('10.20.0.1, interface: eth2', '10.10.0.1, interface: eth1'));
  t.deepEqual(hosts.src.networks.storage, hosts.src.networks.migration);
});

test('entries for ssh name the role, and a file of known hosts instead of one key', (t) => {
  const text = whole.replace(/hostKey: .*/, 'knownHostsFile: known');
  const [src, dst] = inventoryEntries(parse(text));
  t.like(src, { alias: 'src', address: '192.0.2.1', hostKey: { kind: 'file', path: '/lab/known' } });
  t.like(dst, { alias: 'dst', hostKey: { kind: 'alias' } });
});

const key = 'AAAAC3NzaC1lZDI1NTE5AAAAIGxhYg==';
for (const [line, type] of [
  [`db-host-1.example.org ssh-ed25519 ${key}`, 'ssh-ed25519'],
  [`ssh-gate.example.org ssh-rsa ${key}`, 'ssh-rsa'],
  [`[db-1]:2222,192.0.2.1 ecdsa-sha2-nistp256 ${key}`, 'ecdsa-sha2-nistp256'],
  [`sk-ssh-ed25519@openssh.com ${key} root@db-1`, 'sk-ssh-ed25519@openssh.com'],
  [`ssh-ed25519 ${key} ssh-rsa ${key}`, 'ssh-ed25519'],
] as const)
  test(`a host key is type and key of its line: ${line}`, (t) => {
    const { hosts } = parse(whole.replace(/hostKey: .*/, `hostKey: "${line}"`));
    t.is(hosts.src.ssh.hostKey, `${type} ${key}`);
  });

const mistakes: readonly (readonly [what: string, from: string | RegExp, to: string, message: RegExp])[] = [
  [
    'an unknown key',
    'interface: eth2',
    'interface: eth2, mtu: 9000',
    /^\/lab\/hosts\.yaml:9: hosts\.src\.networks\.storage: unknown "mtu"; valid here: address, interface$/,
  ],
  [
    'an unknown role',
    '\nnfs:\n',
    '\n  spare: 1\nnfs:\n',
    /:\d+: hosts: unknown "spare"; valid here: src, dst, nfs, client/,
  ],
  ['a missing role', /\n {2}client:[^]*?\nnfs:/, '\nnfs:', /:1: hosts\.client: a mapping is needed/],
  [
    'a wrong address',
    'address: 10.20.0.1',
    'address: 10.20.0.300',
    /^\/lab\/hosts\.yaml:9: hosts\.src\.networks\.storage\.address: an IPv4 address is needed$/,
  ],
  [
    'a port that is none',
    'address: 192.0.2.1',
    'address: 192.0.2.1\n      port: 0',
    /:5: hosts\.src\.ssh\.port: a port from/,
  ],
  [
    'no host key',
    / {6}hostKey: .*\n/,
    '',
    /:3: hosts\.src\.ssh: one of hostKey and knownHostsFile is needed/,
  ],
  ['a host key that is none', /hostKey: .*/, 'hostKey: yes please', /hostKey: a line as in known_hosts/],
  ['no key to log in with', / {6}identityFile: .*\n/, '', /ssh: identityFile or identityAgent is needed/],
  [
    'an option for ssh in an address',
    '192.0.2.1',
    '-oProxyCommand=x',
    /ssh\.address: an address or host name/,
  ],
  ['shape as a word', 'nfs:\n  export', 'shape: maybe\nnfs:\n  export', /shape: true or false is needed/],
  [
    'a guest without prefix',
    '10.30.0.10/24',
    '10.30.0.10',
    /guestAddress: an address of the service network/,
  ],
  [
    'one address for two hosts',
    'address: 10.20.0.2,',
    'address: 10.20.0.1,',
    /^\/lab\/hosts\.yaml:18: hosts\.dst\.networks\.storage\.address: 10\.20\.0\.1 is src's, too$/,
  ],
  [
    "a guest with a host's address",
    '10.30.0.10/24',
    '10.30.0.4/24',
    /^\/lab\/hosts\.yaml:\d+: guestAddress: 10\.30\.0\.4 is client's: a free address/,
  ],
  [
    'a guest that the client does not reach',
    '10.30.0.10/24',
    '10.31.0.10/24',
    /guestAddress: the client's address 10\.30\.0\.4 is not in the network 10\.31\.0\.10\/24$/,
  ],
  ['broken YAML', '{ address', '{{ address', /^\/lab\/hosts\.yaml:9: /],
  ['an alias without anchor', 'ssh: &ssh2', 'ssh: *nowhere\n    x:', /nowhere/],
  ['no content', /[^]*/, '', /^\/lab\/hosts\.yaml:1: a mapping is needed$/],
];
for (const [what, from, to, message] of mistakes)
  test(`refused with its place: ${what}`, (t) => {
    const changed = whole.replace(from, to);
    t.not(changed, whole);
    const error = t.throws(() => parse(changed), { instanceOf: CodedError, name: 'InventoryError' });
    t.regex(error.message, message);
  });

test('a file that is not there is named', async (t) => {
  const error = await t.throwsAsync(readInventory('/nowhere/hosts.yaml'), {
    instanceOf: CodedError,
    name: 'InventoryError',
  });
  t.regex(error.message, /^\/nowhere\/hosts\.yaml: cannot be read: ENOENT/);
});
