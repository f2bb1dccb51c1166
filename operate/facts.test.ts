/** What hosts, virsh and QEMU print, and what is read from it. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { sameContent } from './checks.ts';
import { switchoverMibPerSecond } from './domain-migration.ts';
import {
  agentSays,
  askBothStorages,
  askIdentity,
  askOpening,
  askPort,
  askReachability,
  askSource,
  askStorage,
  attributeOrText,
  diskOf,
  parseFacts,
  withGrown,
} from './facts.ts';
import { OperatedHost, SshConnections } from './host.ts';
import { quote } from '../foundation/shell.ts';
import { processBehind } from './monitor.ts';
import { agentSocketOf, disksOf, tcpUri } from './qemu-migration.ts';

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

test("the agent's list, as the engine prints it", (t) => {
  const sources = [{ kind: 'disk', disk: 'vda' }] as const;
  const json = JSON.stringify({ pages: 7, server: { product: 'mariadb', version: '10.11' }, sources });
  t.deepEqual(agentSays(json), { says: 'mariadb 10.11 lists 7 pages', pagesListed: 7, sources });
  t.deepEqual(agentSays('no answer'), { says: 'no answer' });
});

test('addresses, as QEMU takes them', (t) => {
  t.is(tcpUri('192.0.2.2', 49_152), 'tcp:192.0.2.2:49152');
  t.is(tcpUri('2001:db8::1', 49_152), 'tcp:[2001:db8::1]:49152');
});

test('disks, as QEMU says', (t) => {
  const disk = (file: string, ro = false) => ({ device: 'drive0', inserted: { file, drv: 'raw', ro } });
  const json = (node: object) => disk(`json:${JSON.stringify(node)}`);
  const image = { driver: 'qcow2', file: { driver: 'file', filename: '/srv/a.qcow2' } };
  t.deepEqual(
    disksOf(
      [
        disk('/srv/a.img'),
        disk('/cd.iso', true),
        disk('/srv/what?.img'),
        disk('nfs://h/a.img?readahead-size=0'),
        json({ 'throttle-group': 'limit', driver: 'throttle', file: image }),
        json({ ...image, backing: { driver: 'raw', file: { driver: 'file', filename: '/srv/base' } } }),
        json({ driver: 'raw', offset: 4096, file: { driver: 'file', filename: '/srv/a.img' } }),
        json({ driver: 'luks', file: { driver: 'file', filename: '/srv/a.img' } }),
        json({}),
        disk('json:{"driver": "qco...'),
        { device: 'cd' },
      ],
      '',
    ).map(({ place }) => place),
    [
      ...['/srv/a.img', '/srv/what?.img', 'nfs://h/a.img', '/srv/a.qcow2', '/srv/a.qcow2'],
      ...[undefined, undefined, undefined, undefined],
    ],
  );
});

test("serials of QEMU's disks, by the names of their drives", (t) => {
  const qtree = [
    '      dev: virtio-blk-pci, id "dd"',
    '          dev: virtio-blk-device, id ""',
    '            drive = "drive0"',
    '            serial = ""',
    '      dev: ide-hd, id ""',
    '        drive = "node-1"',
    '        serial = "QM00005"',
    '      dev: scsi-hd, id ""',
    '        drive = "node-10"',
    '        serial = "a serial"',
  ].join('\r\n');
  const disk = (device: string, node: string) => ({
    device,
    inserted: { file: '/a', drv: 'raw', ro: false, 'node-name': node },
  });
  t.deepEqual(
    disksOf(
      [disk('drive0', '#block1'), disk('', 'node-1'), disk('', 'node-10'), disk('', 'gone')],
      qtree,
    ).map(({ serial }) => serial),
    ['', 'QM00005', 'a serial', ''],
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

/** A host on which `programs` come before the machine's own. */
async function withPrograms(
  programs: Readonly<Record<string, string>>,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-facts-'));
  const before = process.env['PATH'] ?? '';
  try {
    for (const [name, script] of Object.entries(programs))
      await writeFile(path.join(folder, name), `#!/bin/bash\n${script}\n`, { mode: 0o755 });
    process.env['PATH'] = `${folder}:${before}`;
    await body(folder);
  } finally {
    process.env['PATH'] = before;
    await rm(folder, { recursive: true });
  }
}

/** As a file system without O_DIRECT has it, and a disk that is broken. */
const noDirectDd = 'for word; do [ "$word" = iflag=direct ] && exit 1; done; exec /usr/bin/dd "$@"';

const asRootSerially = process.getuid?.() === 0 ? test.serial : test.serial.skip;

asRootSerially('two disks are not the same because neither can be read', async (t) => {
  await withPrograms({ dd: noDirectDd }, async (folder) => {
    const [a, b] = ['a', 'b'].map((name) => path.join(folder, name));
    for (const file of [a, b]) await writeFile(file ?? '', randomBytes(1 << 20));
    const facts = await askStorage(host, [a ?? '', b ?? ''], 'root');
    t.deepEqual(
      facts.map(({ fault }) => fault),
      ['', ''],
    );
    const [first, second] = facts;
    if (first === undefined || second === undefined) throw new Error('two were asked for');
    t.false(sameContent(first, second));
  });
  await withPrograms({ dd: 'exit 1' }, async () => {
    const [unread] = await askStorage(host, [process.execPath], 'root');
    t.regex(unread?.fault ?? '', /cannot be read at byte 0/);
    t.deepEqual(unread?.hashes, []);
  });
});

/** Looked at, it gets longer. */
const growingStat = `case "$*" in '-Lc %s '*) head -c 70000 /dev/zero >> "\${!#}" ;; esac; exec /usr/bin/stat "$@"`;

asRootSerially('places that the engine of a host cannot open, as it says', async (t) => {
  const engine = `[ "$1 $2 $3" = 'storage --json --' ] || exit 2
echo '{"event":"storage","source":"vda=/a b","size_bytes":8192}'
echo '{"event":"storage-unusable","source":"/c","reason":"no disk"}'
exit 1`;
  await withPrograms({ engine }, async (folder) => {
    const program = path.join(folder, 'engine');
    t.deepEqual(await askOpening(host, program, ['vda=/a b', '/c'], 'root'), [
      { place: '/c', reason: 'no disk' },
    ]);
    t.deepEqual(await askOpening(host, path.join(folder, 'none'), ['/c'], 'root'), []);
    t.deepEqual(await askOpening(host, program, [], 'root'), []);
  });
});

asRootSerially('an image that grows is the same on both hosts', async (t) => {
  await withPrograms({ stat: growingStat }, async (folder) => {
    const image = path.join(folder, 'image.qcow2');
    await writeFile(image, randomBytes(8 << 20));
    const facts = await askBothStorages({ source: host, destination: host }, [image], 'root');
    const [here, there] = [facts.source[0], facts.destination[0]];
    t.is(here?.hashes.length, 16);
    t.deepEqual(here, there);
  });
});

test('a host that never sees what the other has has another file', (t) => {
  const seen = (sizeBytes: number) => [{ place: '/a', sizeBytes, hashes: [], inode: '', fault: '' }];
  const sizes = (...asked: readonly [number, number, number, number]) =>
    withGrown([seen(asked[0]), seen(asked[1])], [seen(asked[2]), seen(asked[3])]).map(
      ([one]) => one?.sizeBytes,
    );
  t.deepEqual(sizes(5, 4, 6, 5), [4, 4]);
  t.deepEqual(sizes(5, 4, 5, 5), [4, 4]);
  t.deepEqual(sizes(5, 4, 5, 4), [5, 4]);
  t.deepEqual(sizes(5, 4, 6, 4), [5, 4]);
});

asRootSerially('a name that is another domain’s id means the domain of that name', async (t) => {
  const [named, numbered] = ['aaaaaaaa-1111-2222-3333-444444444444', 'bbbbbbbb-1111-2222-3333-444444444444'];
  // Domain "7" has the id 3, and domain "vm 1" the id 7.
  const virsh = `while [[ $1 == -* ]]; do [ "$1" = -c ] && shift; shift; done
case "$*" in
  'list --all --uuid --name') printf '%-36s %s\\n' ${named} 7 ${numbered} 'vm 1' ;;
  'domuuid -- 7' | 'domuuid -- ${numbered}') echo ${numbered} ;;
  'domuuid -- 3') echo ${named} ;;
  'domname ${named}') echo 7 ;;
  'domname ${numbered}') echo 'vm 1' ;;
  *) exit 1 ;;
esac`;
  await withPrograms({ virsh }, async () => {
    t.deepEqual(await askIdentity(host, '7'), { name: '7', uuid: named });
    t.deepEqual(await askIdentity(host, 'vm 1'), { name: 'vm 1', uuid: numbered });
    t.deepEqual(await askIdentity(host, '3'), { name: '7', uuid: named });
    t.deepEqual(await askIdentity(host, numbered), { name: 'vm 1', uuid: numbered });
    t.deepEqual(await askIdentity(host, 'nobody'), { name: 'nobody', uuid: '' });
  });
});

asRootSerially(
  'the disk of a domain that is a volume of a pool is where libvirt has the volume',
  async (t) => {
    const virsh = `while [[ $1 == -* ]]; do [ "$1" = -c ] && shift; shift; done
case "$*" in
  'list --all --uuid --name') echo 'aaaaaaaa-1111-2222-3333-444444444444 vm1' ;;
  domblklist*) printf ' volume disk %s %s\\n' vda root.img vdb data.img ;;
  *'"vda"]/@type') echo ' type="volume"' ;;
  *'"vda"]/source/@pool') echo ' pool="a &amp;&quot;b"' ;;
  *'"vda"]/source/@volume') echo ' volume="root.img"' ;;
  *'"vdb"]/@type') echo ' type="file"' ;;
  *'"vdb"]/source/@file') echo ' file="/srv/b &lt; c.img"' ;;
  'vol-path --pool a &"b -- root.img') echo /srv/pool/root.img ;;
  *) exit 1 ;;
esac`;
    await withPrograms({ virsh }, async () => {
      const { domain } = await askSource(host, { domain: 'vm1', engine: 'none', towards: 'localhost' });
      t.deepEqual(
        domain.disks.map(({ target, place }) => [target, place]),
        [
          ['vda', '/srv/pool/root.img'],
          ['vdb', '/srv/b < c.img'],
        ],
      );
    });
  },
);

asRoot('a free port, and a command that fails', async (t) => {
  t.is(host.name, os.hostname());
  t.true((await askPort(host, 40_000)) >= 40_000);
  t.is(await askPort(host, 65_536), 0);
  await t.throwsAsync(host.run('echo why >&2; exit 3'), { name: 'HostError', message: /: why$/ });
  t.is(await host.run(`printf %s ${quote("it's $HOME")}`), "it's $HOME");
});

const listening = (server: Server): Promise<void> =>
  new Promise((resolve) => server.once('listening', resolve));

asRootSerially('only the host’s own refusal says that a port can be reached', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await listening(server);
  const { port } = server.address() as AddressInfo;
  t.deepEqual(await askReachability(host, '127.0.0.1', port), { is: 'open', ip: '127.0.0.1' });
  await new Promise((resolve) => server.close(resolve));
  t.is((await askReachability(host, '127.0.0.1', port)).is, 'refused');
  // A firewall that rejects, as firewalld does.
  await withPrograms({ timeout: 'echo "bash: connect: No route to host" >&2; exit 1' }, async () => {
    t.is((await askReachability(host, '127.0.0.1', port)).is, 'silent');
  });
});

asRootSerially('a QEMU is found behind its socket by whatever path that is named', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-facts-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await mkdir(path.join(folder, 'run'));
  await symlink('run', path.join(folder, 'var-run'));
  const server = createServer().listen(path.join(folder, 'run/vm 1.qmp'));
  await listening(server);
  t.teardown(() => server.close());
  for (const name of ['run', 'var-run'])
    t.deepEqual(await processBehind(host, path.join(folder, name, 'vm 1.qmp')), {
      pid: process.pid,
      user: 'root',
    });
  t.is((await processBehind(host, path.join(folder, 'run/other.qmp'))).pid, 0);
});

asRootSerially('what hangs on a host is not waited for', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-facts-'));
  const hangs = `echo $$ > ${folder}/pid; trap '' TERM; while :; do sleep 1; done`;
  t.teardown(async () => {
    process.kill(Number(await readFile(path.join(folder, 'pid'), 'utf8')), 'SIGKILL');
    await rm(folder, { recursive: true });
  });
  await withPrograms({ dd: hangs }, async () => {
    const [facts] = await askStorage(host, [process.execPath], 'root', 1000);
    t.regex(facts?.fault ?? '', /storage does not answer within 1 s/);
  });
});

/** ssh to this machine, as a user who may not use sockets of others. */
const ssh = 'case "${@: -1}" in "exec test"*) exit 1 ;; esac; exec bash -c "${@: -1}"';

asRootSerially(
  'a socket that is not there, or that the user of ssh may not use, is said before it is connected to',
  async (t) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-facts-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const socket = path.join(folder, 'a.qmp');
    await withPrograms({ ssh }, async () => {
      const far = new OperatedHost({ host: 'src' }, connections);
      await t.throwsAsync(far.forwardSocket(socket, 'a'), { message: /src: there is no socket .*a\.qmp/ });
      const server = createServer().listen(socket);
      await listening(server);
      t.teardown(() => server.close());
      await t.throwsAsync(far.forwardSocket(socket, 'a'), {
        message: /may not use the socket .*connect as root/,
      });
    });
  },
);

test.serial(
  'ssh’s sockets have paths that are short enough, and that ssh takes as they are, wherever temporary files lie',
  (t) => {
    const before = process.env['TMPDIR'];
    t.teardown(() => {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    });
    for (const folder of [`/nowhere/${'long/'.repeat(20)}`, '/nowhere/my files', '/nowhere/50%', 'nowhere']) {
      process.env['TMPDIR'] = folder;
      const opened = SshConnections.open();
      t.teardown(() => opened.close([]));
      t.true(`${opened.folder}/${'c'.repeat(40)}.${'r'.repeat(16)}`.length < 108, opened.folder);
      t.true(opened.folder.startsWith('/tmp/'));
    }
  },
);
