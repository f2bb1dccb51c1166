/** What hosts, virsh and QEMU print, and what is read from it. */
import os from 'node:os';
import test from 'ava';
import { placesOf, switchoverMibPerSecond } from './domain-migration.ts';
import { askPort, askStorage, attributeOrText, diskOf, parseFacts } from './facts.ts';
import { OperatedHost, quote, SshConnections } from './host.ts';
import { agentSocketOf, disksOf } from './qemu-migration.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

test('facts are lines of a name and a value that may hold anything', (t) => {
  const facts = parseFacts(`a\t${base64('x\ty\nz')}\nnoise\na\t${base64('second')}\nb\t\n`);
  t.deepEqual(
    [...facts],
    [
      ['a', ['x\ty\nz', 'second']],
      ['b', ['']],
    ],
  );
});

test("virsh's attributes and texts", (t) => {
  t.is(attributeOrText(' file="/srv/a &amp; b.img"\n'), '/srv/a & b.img');
  t.is(attributeOrText('serial-1\n'), 'serial-1\n');
  t.is(attributeOrText(''), '');
});

const parts = { type: '', file: '', protocol: '', name: '', server: '', serial: 's', format: 'raw' };

test('disks of libvirt that the engine reads, and others', (t) => {
  t.is(diskOf('vda', { ...parts, type: 'file', file: '/a.img' }).place, '/a.img');
  t.is(diskOf('vda', { ...parts, type: 'block', file: '/dev/vg/a' }).place, '/dev/vg/a');
  const nfs = diskOf('vda', {
    ...parts,
    type: 'network',
    protocol: 'nfs',
    name: '/srv/a b.img',
    server: '192.0.2.3',
  });
  t.is(nfs.place, 'nfs://192.0.2.3/srv/a%20b.img');
  const rbd = diskOf('vda', { ...parts, type: 'network', protocol: 'rbd', name: 'pool/a', server: 'mon' });
  t.is(rbd.place, undefined);
  t.is(rbd.kind, 'network rbd');
});

test('a place has a name where there are several disks', (t) => {
  const one = diskOf('vda', { ...parts, type: 'file', file: '/a.img' });
  const two = diskOf('vdb', { ...parts, type: 'file', file: '/b.img', serial: '' });
  const none = diskOf('vdc', { ...parts, type: 'network', protocol: 'rbd' });
  t.deepEqual(placesOf({ disks: [one] }, []), ['/a.img']);
  t.deepEqual(placesOf({ disks: [one, two, none] }, []), ['s=/a.img', 'vdb=/b.img']);
  t.deepEqual(placesOf({ disks: [one] }, ['/other.img']), ['/other.img']);
});

test("the link's rate for virsh", (t) => {
  t.is(switchoverMibPerSecond({ interfaceBitsPerSecond: 0 }), undefined);
  t.is(switchoverMibPerSecond({ interfaceBitsPerSecond: 1e9 }), 113);
  t.is(switchoverMibPerSecond({ interfaceBitsPerSecond: 1e6 }), 1);
});

test("the agent's socket, as QEMU says", (t) => {
  const qtree = `bus: main-system-bus
  dev: virtio-serial-pci, id "serial0"
    dev: virtserialport, id "p0"
      chardev = "other"
      name = "org.qemu.guest_agent.0"
    dev: virtserialport, id "p1"
      chardev = "agent0"
      nr = 2 (0x2)
      name = "poolshift.agent.0"
`;
  const chardevs = [
    { label: 'other', filename: 'unix:/run/other.sock,server=on' },
    { label: 'agent0', filename: 'disconnected:unix:/run/agent.sock,server=on' },
  ];
  t.is(agentSocketOf(qtree, chardevs), '/run/agent.sock');
  t.is(agentSocketOf(qtree, []), undefined);
  t.is(agentSocketOf('', chardevs), undefined);
});

test('disks, as QEMU says', (t) => {
  const disk = (file: string, ro = false) => ({ device: 'drive0', inserted: { file, drv: 'raw', ro } });
  t.deepEqual(
    disksOf([
      disk('/srv/a.img'),
      disk('/cd.iso', true),
      disk('nfs://h/a.img?readahead-size=0'),
      disk('json:{}'),
      { device: 'cd' },
    ]).map(({ place }) => place),
    ['/srv/a.img', 'nfs://h/a.img', undefined],
  );
});

const connections = SshConnections.open();
test.after.always(() => connections.close([]));
const host = new OperatedHost(undefined, connections);
const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('storage of this machine is the same as itself, and what is not there says so', async (t) => {
  const [there, missing] = await askStorage(host, [process.execPath, '/nowhere/at all'], 'root');
  t.true((there?.sizeBytes ?? 0) > 1e6);
  t.is(there?.hashes.length, 16);
  t.true(new Set(there?.hashes).size > 8, 'parts differ from each other');
  t.deepEqual((await askStorage(host, [process.execPath], 'root'))[0], there);
  t.regex(missing?.fault ?? '', /No such file/);
});

asRoot('a free port, and a command that fails', async (t) => {
  t.is(host.name, os.hostname());
  t.true((await askPort(host, 40_000)) >= 40_000);
  await t.throwsAsync(host.run('echo why >&2; exit 3'), { name: 'HostError', message: /: why$/ });
  t.is(await host.run(`printf %s ${quote("it's $HOME")}`), "it's $HOME");
});
