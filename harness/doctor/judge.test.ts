/** What the doctor makes of what machines say. */
import test from 'ava';
import { execa } from 'execa';
import { essentialPackages, hostPackages } from '../../scripts/debian-packages.ts';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import { type HostName, hostNames, networkNames } from '../testbed/host.ts';
import { networkPlans } from '../testbed/local/lab-network.ts';
import { type HostFacts, factsScript, neededPrograms, parseFacts } from './host-facts.ts';
import { judgeClock, judgeClockPair, judgeSsh } from './judge-connection.ts';
import { type HostExpectations, judgeHost, judgeQemuPair } from './judge-host.ts';
import { judgeKvm } from './kvm.ts';
import { judgeLink } from './network.ts';
import { judgeExchange, judgeMount } from './storage.ts';

const gib = 2 ** 30;
const networks = networkPlans({ migration: undefined, storage: undefined, service: undefined });
const rows = (['4', '16', '24'] as const).map((mem) => ({
  mem,
  configuration: resolveConfiguration({ ...optionsSchema.parse({}), mem, profile: 'paper' }),
}));

function interfacesOf(host: HostName): HostFacts['interfaces'] {
  return networkNames.map((network) => {
    const { interfaces, addresses } = networks[network];
    return { name: interfaces[host], address: addresses[host] };
  });
}

/** A dst with which nothing is wrong. */
const good: HostFacts = {
  userId: 0,
  machine: 'x86_64',
  system: 'Debian GNU/Linux 13 (trixie), Linux 6.12.0',
  memoryAvailableBytes: 30 * gib,
  sharedMemoryAvailableBytes: 28 * gib,
  disk: { device: '/dev/vda1', availableBytes: 100 * gib },
  exported: undefined,
  missingPrograms: [],
  qemu: 'QEMU emulator version 10.0.13 (Debian)',
  interfaces: interfacesOf('dst'),
  bridgeObstacles: [],
  listeners: [
    { address: '127.0.0.1', port: 4444, program: 'elsewhere' },
    { address: '0.0.0.0', port: 22, program: 'sshd' },
  ],
  leftovers: [],
};
const dst: HostExpectations = { host: 'dst', networks, mounted: false, rows };
const troubles = (facts: Partial<HostFacts>, expectations: Partial<HostExpectations> = {}) =>
  judgeHost(
    { ...good, interfaces: interfacesOf(expectations.host ?? 'dst'), ...facts },
    { ...dst, ...expectations },
  )
    .filter(({ status }) => status !== 'ok')
    .map(({ status, check, found, fix }) => `${status} ${check}: ${found} → ${fix ?? ''}`);

test("this machine's own facts can be read", async (t) => {
  const script = factsScript({
    programs: ['sh', 'no-such-program'],
    qemuBinary: '/no such/qemu',
    exportPath: '/tmp',
    serviceInterface: 'lo',
  });
  const { stdout } = await execa('bash', ['-c', script]);
  const facts = parseFacts(stdout);
  t.is(facts.userId, process.getuid?.() ?? -1);
  t.regex(facts.system, /, Linux \d+\./);
  t.true(facts.memoryAvailableBytes > 1e6 && facts.disk.availableBytes > 0);
  t.true((facts.exported?.availableBytes ?? 0) > 0);
  t.deepEqual(facts.missingPrograms, ['no-such-program']);
  t.regex(facts.qemu, /No such file/);
  t.true(facts.interfaces.some(({ name, address }) => name === 'lo' && address === '127.0.0.1'));
  t.deepEqual(facts.bridgeObstacles, []);
});

test('listeners have address, port and program', (t) => {
  const { listeners } = parseFacts(`user 0
machine x86_64
system Debian
memory 5
shared-memory tmpfs 6
disk /dev/vda1 7
listener 0.0.0.0:22 users:(("sshd",pid=1,fd=3))
listener [::]:4444 users:(("qemu-system-x86",pid=9,fd=3))
listener *:5201
`);
  t.deepEqual(listeners, [
    { address: '0.0.0.0', port: 22, program: 'sshd' },
    { address: '[::]', port: 4444, program: 'qemu-system-x86' },
    { address: '*', port: 5201, program: '' },
  ]);
});

test('a machine with which nothing is wrong', (t) => {
  t.deepEqual(troubles({}), []);
});

const mistakes: readonly (readonly [
  what: string,
  facts: Partial<HostFacts>,
  expectations: Partial<HostExpectations>,
  said: RegExp,
])[] = [
  ['another processor', { machine: 'aarch64' }, {}, /^problem system: .* on aarch64 → x86-64/],
  [
    'programs that are missing',
    { missingPrograms: ['ss', 'tc', 'qemu-io'] },
    {},
    /^problem programs: missing: ss, tc, qemu-io → bash vagrant\/provision\.sh host .*apt-get install iproute2 qemu-utils$/,
  ],
  [
    'an old QEMU',
    { qemu: 'QEMU emulator version 7.2.22 (Debian)' },
    {},
    /^problem QEMU: 7\.2\.22.* → QEMU 9\.0/,
  ],
  ['no QEMU', { qemu: 'bash: /q: No such file' }, {}, /^problem QEMU: bash: .* → .*hosts\.dst\.qemu/],
  [
    'an address that is nowhere, and one that is elsewhere',
    { interfaces: [{ name: 'sto', address: '10.10.0.2' }, ...good.interfaces.slice(2)] },
    {},
    /^problem addresses: 10\.10\.0\.2 \(migration\) is on sto, not on mig; 10\.20\.0\.2 \(storage\) is on no interface →/,
  ],
  [
    'interfaces that are not to be changed',
    { bridgeObstacles: ["psbr0 is there and is not Poolshift's", 'svc (service) has routes'] },
    {},
    /^problem bridge: psbr0 is there and is not Poolshift's; svc \(service\) has routes → name another interface/,
  ],
  [
    'a port that is taken everywhere',
    { listeners: [{ address: '[::]', port: 4444, program: 'nc' }] },
    {},
    /^problem ports: taken: 4444 \(migration\) by nc →/,
  ],
  [
    'a port that is taken at the address',
    { listeners: [{ address: '10.20.0.2', port: 5201, program: 'iperf3' }] },
    {},
    /^problem ports: taken: 5201 \(iperf3\) by iperf3 →/,
  ],
  ['a VM that runs', { leftovers: ['poolshift-vm'] }, {}, /^warning leftovers: there: poolshift-vm →/],
  [
    'too little memory',
    { memoryAvailableBytes: 18 * gib },
    {},
    /^problem memory: 18\.0 GiB are free, but --mem 24 needs 24\.6 GiB → make room, or use --mem 4 16$/,
  ],
  [
    'too little shared memory, which is half of the memory by default',
    { sharedMemoryAvailableBytes: 2 * gib },
    {},
    /^problem memory: .* --mem 24 needs 24\.0 GiB in \/dev\/shm, which has 2\.0 GiB .* → .*a smaller row/,
  ],
  ['no export', {}, { host: 'nfs' }, /^problem disk: the exported folder is not there →/],
  [
    'an export that is full',
    { exported: { device: '/dev/vdb', availableBytes: 6 * gib } },
    { host: 'nfs' },
    /^problem disk: 100\.0 GiB .* 6\.0 GiB in the export, but --mem 24 needs 17\.6 GiB in the export → .*--mem 4$/,
  ],
  [
    'image and working copy on one disk',
    {
      disk: { device: '/dev/vda1', availableBytes: 20 * gib },
      exported: { device: '/dev/vda1', availableBytes: 20 * gib },
    },
    { host: 'nfs' },
    /^problem disk: .* needs 35\.0 GiB in all → .*--mem 4$/,
  ],
];
for (const [what, facts, expectations, said] of mistakes)
  test(`said, with what to do: ${what}`, (t) => {
    const found = troubles(facts, expectations);
    t.is(found.length, 1, found.join('\n'));
    t.regex(found[0] ?? '', said);
  });

test('only the VM hosts are asked for QEMU', (t) => {
  t.false(troubles({ qemu: '' }, { host: 'client' }).some((line) => line.includes('QEMU')));
});

test('two versions of QEMU are a pair that differs', (t) => {
  t.is(judgeQemuPair(good, good).status, 'ok');
  t.is(judgeQemuPair(good, { ...good, qemu: 'QEMU emulator version 11.1.0' }).status, 'warning');
});

test('why ssh does not work', (t) => {
  const fixOf = (said: string) =>
    judgeSsh('dst', undefined, `on dst: exit code 255: true\n${said}`).fix ?? '';
  t.regex(fixOf('Host key verification failed.'), /hosts\.dst\.ssh\.hostKey/);
  t.regex(fixOf('root@192.0.2.1: Permission denied (publickey).'), /authorized_keys/);
  t.regex(fixOf('sudo: a password is required'), /NOPASSWD/);
  t.regex(fixOf('ssh: connect to host 192.0.2.1 port 22: Connection refused'), /sshd answers/);
  t.regex(fixOf('kex_exchange_identification: Connection closed by remote host'), /sshd answers/);
  t.regex(fixOf('Connection timed out during banner exchange'), /sshd answers/);
  t.is(judgeSsh('dst', 1000, undefined).status, 'problem');
  t.is(judgeSsh('dst', 0, undefined).status, 'ok');
});

test('a clock counts only as far as it is certain', (t) => {
  const clock = (offsetMs: number, uncertaintyMs: number) =>
    judgeClock('dst', { offsetMs, uncertaintyMs }).status;
  t.is(clock(-400, 1), 'ok');
  t.is(clock(-600, 1), 'warning');
  t.is(clock(600, 150), 'ok');
  const at = (offsetMs: number, uncertaintyMs: number) => ({ offsetMs, uncertaintyMs });
  t.like(judgeClockPair(at(2, 1), at(-1, 1)), { status: 'ok', found: 'dst −3.0 ± 2.0 ms from src' });
  t.is(judgeClockPair(at(0, 30), at(0, 30)).status, 'warning');
});

test('KVM works when QMP says so and the firmware runs', (t) => {
  const answer = '{"return": {"enabled": true, "present": true}}';
  const kvm = (output: string) => judgeKvm('src', output);
  t.is(kvm(`${answer}\nfirmware SeaBIOS (version 1.16.3)\n`).status, 'ok');
  // It answers, and then its processor does nothing.
  t.regex(kvm(`${answer}\nfirmware \n`).found, /^only TCG works: a VM does nothing for 10 s$/);
  t.regex(kvm('no-device \n').fix ?? '', /firmware or, in a VM, nested/);
  t.regex(kvm('no-device capable\n').fix ?? '', /modprobe/);
  t.is(
    kvm('qemu-system-x86_64: error: failed\nqemu-system-x86_64: kvm.c:3877: assertion\n\nfirmware \n').found,
    'only TCG works: QEMU says: kvm.c:3877: assertion',
  );
});

test('a link is too slow, right, or faster than is said of it', (t) => {
  const link = { network: 'migration', from: 'src', to: 'dst' } as const;
  const status = (mbit: number, shaped: boolean) =>
    judgeLink(link, mbit * 1e6, { bitsPerSecond: 1e9, shaped }).status;
  t.is(status(940, false), 'ok');
  t.is(status(700, true), 'problem');
  t.is(status(9400, false), 'warning');
  t.is(status(9400, true), 'ok');
});

test('a mount must be NFS, and hard', (t) => {
  const status = (type: string, options: string) =>
    judgeMount('src', '/mnt/poolshift', { type, source: '10.20.0.3:/export', options }).status;
  t.is(judgeMount('src', '/mnt/poolshift', undefined).status, 'problem');
  t.is(status('nfs4', 'rw,vers=4.2,hard,proto=tcp'), 'ok');
  t.is(status('nfs4', 'rw,vers=4.2,soft,proto=tcp'), 'problem');
  t.is(status('ext4', 'rw'), 'problem');
});

test('coherence is that every write is read at once', (t) => {
  const whole = 'read 1048576/1048576 bytes at offset 0';
  const judge = (answers: readonly string[], trouble?: string) =>
    judgeExchange('src', 'dst', answers, trouble);
  t.is(judge([whole, whole]).status, 'ok');
  t.like(judge([whole, `Pattern verification failed at offset 0, 1048576 bytes\n${whole}`]), {
    status: 'problem',
    found: 'dst read old data 1 of 2 times',
  });
  t.regex(judge([], "qemu-io: can't open: Unknown protocol 'nfs'").fix ?? '', /qemu-block-extra/);
  t.regex(judge(['read failed: Input/output error']).found, /dst cannot read/);
  t.regex(judge([], 'file system does not support O_DIRECT').fix ?? '', /O_DIRECT/);
});

test('what the doctor says to install is what provisioning installs', (t) => {
  for (const host of hostNames) {
    const role = host === 'src' || host === 'dst' ? 'host' : host;
    const installed: readonly string[] = [
      ...essentialPackages,
      ...hostPackages.common,
      ...hostPackages[role],
    ];
    for (const mounted of [true, false])
      for (const name of Object.values(neededPrograms(host, mounted)))
        t.true(installed.includes(name), `${host}: ${name}`);
  }
});
