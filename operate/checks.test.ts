/** Each thing that can be wrong, alone: what is said, and whether a migration may begin all the same. */
import test from 'ava';
import {
  type Asked,
  findingLines,
  hinders,
  judge,
  judgeQemus,
  type Method,
  methodFindings,
  methods,
  type QemusAsked,
  sameContent,
  virshFindings,
} from './checks.ts';

const hashes = Array.from({ length: 16 }, (_, part) => `hash ${part}`);
const place = '/srv/vm1.img';

const fine: Asked = {
  source: {
    name: 'src',
    libvirt: '11.3.0',
    qemu: '10.0.3',
    engine: 'e1',
    availableBytes: 2 ** 30,
    hasSystemd: true,
  },
  domain: {
    name: 'vm1',
    uuid: '6d3b9f5c-0d2e-4a6f-9c56-1f0f6a1b2c3d',
    state: 'running',
    memoryBytes: 2 ** 30,
    pid: 17,
    user: 'libvirt-qemu',
    agentSocket: '/run/agent.sock',
    agent: { answers: true, says: 'MariaDB 10.11 lists 5 pages' },
    disks: [{ target: 'vda', serial: 's1', format: 'raw', place, kind: `file ${place}` }],
    memoryParts: 0,
    currentMemoryBytes: 2 ** 30,
    hasHugePages: false,
    confined: false,
    interfaceBitsPerSecond: 1e9,
  },
  destination: {
    name: 'dst',
    libvirt: '11.3.0',
    qemu: '10.0.3',
    engine: 'e1',
    availableBytes: 2 ** 31,
    hasSystemd: true,
    hasUser: true,
    domainState: '',
    nameIsTaken: false,
    port: 49_152,
    freeHugePageBytes: 0,
  },
  unitsLeft: [],
  places: [place],
  unopened: [],
  storage: {
    source: [{ place, sizeBytes: 2 ** 30, hashes, inode: '1', fault: '' }],
    destination: [{ place, sizeBytes: 2 ** 30, hashes, inode: '1', fault: '' }],
  },
  clockDifferenceMs: -500,
  address: 'dst',
  reachability: { is: 'refused', ip: '192.0.2.2' },
};

test('nothing stands in the way where nothing is wrong', (t) => {
  const findings = judge(fine);
  t.deepEqual(
    findings.filter(({ level }) => level !== 'ok'),
    [],
  );
  for (const method of methods) t.deepEqual(hinders(findings, method), []);
});

type Expected = Readonly<Record<Method, boolean>>;
const noMigration: Expected = { plain: true, restore: true, balance: true, resume: true };
const onlyPlain: Expected = { plain: false, restore: true, balance: true, resume: true };
const goes: Expected = { plain: false, restore: false, balance: false, resume: false };

const { source, domain, destination, storage } = fine;
const thereStorage = (change: object): Asked['storage'] => ({
  ...storage,
  destination: [{ place, sizeBytes: 2 ** 30, hashes, inode: '1', fault: '', ...change }],
});

const cases: Readonly<Record<string, readonly [Partial<Asked>, RegExp, Expected]>> = {
  'no such domain': [{ domain: { ...domain, state: '' } }, /no such domain/, noMigration],
  'a domain that is shut off': [{ domain: { ...domain, state: 'shut off' } }, /is shut off/, noMigration],
  'a domain that runs there, too': [
    { destination: { ...destination, domainState: 'running' } },
    /running on dst already/,
    noMigration,
  ],
  'another domain of that name there': [
    { destination: { ...destination, nameIsTaken: true } },
    /another domain of that name/,
    noMigration,
  ],
  'one that is only defined there': [
    { destination: { ...destination, domainState: 'shut off' } },
    /^$/,
    goes,
  ],
  'no libvirt': [{ destination: { ...destination, libvirt: '' } }, /libvirt does not answer/, noMigration],
  'an old QEMU': [{ source: { ...source, qemu: '7.1.0' } }, /QEMU 7.1.0/, onlyPlain],
  'an older QEMU there': [
    { source: { ...source, qemu: '10.10.0' } },
    /10\.0\.3 at the destination is older/,
    goes,
  ],
  'a newer QEMU there': [{ destination: { ...destination, qemu: '10.10.0' } }, /^$/, goes],
  'no engine': [{ destination: { ...destination, engine: '' } }, /not on dst$/, onlyPlain],
  'another engine': [{ destination: { ...destination, engine: 'e2' } }, /different versions/, onlyPlain],
  'no user': [{ destination: { ...destination, hasUser: false } }, /lacks the user/, onlyPlain],
  'no systemd': [{ source: { ...source, hasSystemd: false } }, /detached process/, goes],
  'no channel': [{ domain: { ...domain, agentSocket: '' } }, /no channel/, onlyPlain],
  'a silent agent': [
    { domain: { ...domain, agent: { answers: false, says: 'poolshift-engine: nobody answers' } } },
    /does not answer: poolshift-engine: nobody answers/,
    onlyPlain,
  ],
  'a copy of the disk at its path': [
    { storage: thereStorage({ inode: '2' }) },
    /another file there \(inode 1 here, 2 there\)/,
    noMigration,
  ],
  'storage whose file system gives inodes of its own': [{ storage: thereStorage({ inode: '' }) }, /^$/, goes],
  'an engine of an earlier migration': [
    { unitsLeft: [{ host: 'dst', unit: 'poolshift-destination-vm1' }] },
    /earlier migration of this VM is still there on dst/,
    onlyPlain,
  ],
  'huge pages, of which too few are free there': [
    { domain: { ...domain, hasHugePages: true } },
    /0\.00 GiB free as huge pages|free as huge pages/,
    noMigration,
  ],
  'huge pages, and little other memory there': [
    {
      domain: { ...domain, hasHugePages: true },
      destination: { ...destination, availableBytes: 2 ** 20, freeHugePageBytes: 2 ** 31 },
    },
    /^$/,
    goes,
  ],
  'a balloon that holds most of the memory': [
    {
      domain: { ...domain, memoryBytes: 2 ** 33 },
    },
    /takes 8.* at most, and 1.* now/,
    goes,
  ],
  'storage that is not there': [
    { storage: thereStorage({ sizeBytes: undefined, fault: 'No such file' }) },
    /dst cannot read it: No such file/,
    onlyPlain,
  ],
  'a disk that the source cannot read': [
    {
      storage: {
        ...storage,
        source: [{ place, sizeBytes: undefined, hashes: [], inode: '', fault: 'Input/output error' }],
      },
    },
    /not known whether it is the same there: Input\/output error/,
    noMigration,
  ],
  'storage that was named, and that the source has not': [
    {
      storage: {
        source: [
          { place: '/mnt/vm1.img', sizeBytes: undefined, hashes: [], inode: '', fault: 'No such file' },
        ],
        destination: [{ place: '/mnt/vm1.img', sizeBytes: 2 ** 30, hashes, inode: '1', fault: '' }],
      },
    },
    /cannot be read here, and so not be compared: No such file/,
    goes,
  ],
  'storage of another size': [
    { storage: thereStorage({ sizeBytes: 5 }) },
    /not the same storage/,
    noMigration,
  ],
  'other storage': [
    { storage: thereStorage({ hashes: hashes.map((hash) => `other ${hash}`) }) },
    /other content/,
    noMigration,
  ],
  'storage that the guest writes to': [
    { storage: thereStorage({ hashes: hashes.map((hash, part) => (part === 3 ? 'new' : hash)) }) },
    /^$/,
    goes,
  ],
  'a disk of another kind': [
    {
      domain: {
        ...domain,
        disks: [{ target: 'vda', serial: '', format: 'raw', place: undefined, kind: 'network rbd' }],
      },
      places: [],
      storage: { source: [], destination: [] },
    },
    /no disk of the VM/,
    onlyPlain,
  ],
  'a disk of another kind that is given by NBD': [
    {
      domain: {
        ...domain,
        disks: [{ target: 'vda', serial: '', format: 'raw', place: undefined, kind: 'network rbd' }],
      },
      places: ['nbd+unix:///vm?socket=/run/nbd'],
      storage: { source: [], destination: [] },
    },
    /only the engine opens it/,
    goes,
  ],
  'a list of a disk that no place is for': [
    {
      domain: { ...domain, agent: { ...domain.agent, sources: [{ kind: 'disk', disk: 'QM00001' }] } },
      places: [`vda=${place}`],
    },
    /lie on "QM00001", which no --storage is for/,
    onlyPlain,
  ],
  'a list of two disks, one of which no place is for': [
    {
      domain: {
        ...domain,
        agent: { ...domain.agent, sources: ['s1', 'vdb'].map((disk) => ({ kind: 'disk', disk }) as const) },
      },
      places: [`s1=${place}`],
    },
    /lie on "vdb", which no --storage is for/,
    goes,
  ],
  'an image that the engine does not read': [
    { unopened: [{ place, reason: `${place} is a VMDK image: only raw and qcow2 are read` }] },
    /engine on dst cannot read it: .*VMDK image.*; its pages come from memory/,
    onlyPlain,
  ],
  'one of two images that the engine does not read': [
    {
      domain: {
        ...domain,
        disks: [
          ...domain.disks,
          { target: 'vdb', serial: '', format: 'qcow2', place: '/b', kind: 'file /b' },
        ],
      },
      places: [`s1=${place}`, 'vdb=/b'],
      unopened: [{ place: 'vdb=/b', reason: 'cannot open /base' }],
    },
    /cannot open \/base; its pages come from memory/,
    goes,
  ],
  'an NBD server that does not answer': [
    {
      domain: {
        ...domain,
        disks: [{ target: 'vda', serial: '', format: 'raw', place: undefined, kind: 'network rbd' }],
      },
      places: ['nbd+unix:///vm?socket=/run/nbd'],
      unopened: [{ place: 'nbd+unix:///vm?socket=/run/nbd', reason: 'nobody answers' }],
      storage: { source: [], destination: [] },
    },
    /nobody answers; its pages come from memory/,
    onlyPlain,
  ],
  'too little memory': [{ destination: { ...destination, availableBytes: 1 } }, /takes 1.0 GiB/, noMigration],
  'memory that others on their way will take': [
    { memoryUnderWayBytes: 2 ** 30 + 1 },
    /of which 1\.0 GiB for others on their way, the domain takes 1\.0 GiB/,
    noMigration,
  ],
  'no free port': [{ destination: { ...destination, port: 0 } }, /no free port/, onlyPlain],
  'several RAM blocks': [{ domain: { ...domain, memoryParts: 2 } }, /^$/, goes],
  'a port behind a firewall': [{ reachability: { is: 'silent', ip: '192.0.2.2' } }, /no answer/, onlyPlain],
  'another host at the address': [
    { reachability: { is: 'open', ip: '192.0.2.2' } },
    /is not on dst/,
    onlyPlain,
  ],
  'an unknown name': [{ reachability: { is: 'unknown-host', ip: '' } }, /does not know/, onlyPlain],
  'a wrong clock': [{ clockDifferenceMs: 59_000 }, /differ by 59 s/, goes],
  'a confined QEMU': [{ domain: { ...domain, confined: true } }, /AppArmor or SELinux/, goes],
  'a link of unknown rate': [{ domain: { ...domain, interfaceBitsPerSecond: 0 } }, /not known/, goes],
};

for (const [what, [change, says, expected]] of Object.entries(cases))
  test(what, (t) => {
    const findings = judge({ ...fine, ...change });
    const wrong = findings.filter(({ level }) => level !== 'ok');
    t.true(wrong.some((finding) => says.test(finding.says)) || (says.source === '^$' && wrong.length === 0));
    for (const { fix } of wrong) t.truthy(fix, 'each says what mends it');
    for (const method of methods) t.is(hinders(findings, method).length > 0, expected[method], method);
    t.is(findingLines(findings).length, findings.length + wrong.length);
  });

test('a virsh that does not reach a libvirt is in the way of every method', (t) => {
  const findings = virshFindings([{ uri: 'qemu:///system', says: 'authentication failed' }]);
  t.regex(findings[0]?.says ?? '', /qemu:\/\/\/system from here: authentication failed/);
  for (const method of methods) t.is(hinders(findings, method).length, 1, method);
  t.deepEqual(virshFindings([]), []);
});

test('storage is the same unless most of it differs', (t) => {
  const parts = (hashes: readonly string[], hashesLater?: readonly string[]) => ({
    hashes,
    ...(hashesLater === undefined ? {} : { hashesLater }),
  });
  t.true(sameContent(parts([]), parts([])));
  t.false(sameContent(parts(['a']), parts([])));
  t.true(sameContent(parts(['a', 'b']), parts(['a', 'c'])));
  t.false(sameContent(parts(['a', 'b', 'c']), parts(['a', 'x', 'y'])));
  // Written meanwhile, or not: then it is a copy.
  t.true(sameContent(parts(['a', 'b'], ['a', 'd']), parts(['a', 'c'], ['a', 'c'])));
  t.false(sameContent(parts(['a', 'b'], ['a', 'b']), parts(['a', 'c'], ['a', 'c'])));
});

const bare: QemusAsked = {
  ...fine,
  qemu: {
    versions: ['10.0.3', '10.0.3'],
    status: 'running',
    targetStatus: 'inmigrate',
    freePageHints: false,
    on: ['events'],
    pid: 17,
  },
  agent: { socket: '/run/agent.sock', answers: true, says: 'lists' },
  disks: domain.disks,
};
const { qemu } = bare;

const bareCases: Readonly<Record<string, readonly [Partial<QemusAsked>, RegExp, Expected]>> = {
  'a paused VM': [{ qemu: { ...qemu, status: 'paused' } }, /is paused/, noMigration],
  'a target that runs': [{ qemu: { ...qemu, targetStatus: 'running' } }, /is running/, noMigration],
  multifd: [{ qemu: { ...qemu, on: ['multifd'] } }, /is switched on/, onlyPlain],
  'xbzrle with free-page hints': [
    { qemu: { ...qemu, on: ['xbzrle'], freePageHints: true } },
    /memory could differ unseen/,
    onlyPlain,
  ],
  'an old source': [{ qemu: { ...qemu, versions: ['6.2.0', '10.0.3'] } }, /6\.2\.0/, onlyPlain],
  'a QEMU that nobody finds': [{ qemu: { ...qemu, pid: 0 } }, /not found/, onlyPlain],
  'disks that cannot be told from each other': [
    {
      disks: [
        ...domain.disks,
        ...['/b', '/c'].map((file) => ({ target: '', serial: '', format: 'raw', place: file, kind: file })),
      ],
      places: [`s1=${place}`, '/c'],
    },
    /nobody knows which of the guest's disks it is/,
    goes,
  ],
  'no port for the agent': [
    { agent: { socket: '', answers: false, says: '' } },
    /no channel for the agent/,
    onlyPlain,
  ],
};

test('two QEMUs with nothing in the way', (t) => {
  for (const change of [{}, { on: ['xbzrle'] }, { freePageHints: true }])
    t.deepEqual(
      judgeQemus({ ...bare, qemu: { ...qemu, ...change } }).filter(({ level }) => level !== 'ok'),
      [],
    );
});

for (const [what, [change, says, expected]] of Object.entries(bareCases))
  test(`two QEMUs: ${what}`, (t) => {
    const wrong = judgeQemus({ ...bare, ...change }).filter(({ level }) => level !== 'ok');
    t.is(wrong.length, 1);
    t.regex(wrong[0]?.says ?? '', says);
    for (const method of methods) t.is(hinders(wrong, method).length > 0, expected[method], method);
  });

test('early resume takes a QEMU that holds its switchover back, on both hosts', (t) => {
  for (const versions of [
    ['7.2.19', '7.2.19'],
    ['10.0.3', '8.0.5'],
    ['8.0.0', '10.0.3'],
  ] as const) {
    t.regex(methodFindings('resume', versions)[0]?.says ?? '', /takes 8\.1 or newer on both hosts/);
    t.is(hinders(methodFindings('resume', versions), 'resume').length, 1);
    t.deepEqual(methodFindings('balance', versions), []);
  }
  for (const versions of [
    ['8.1.0', '8.1.0'],
    ['10.0.3', '11.1.0'],
    ['', ''],
  ] as const)
    t.deepEqual(methodFindings('resume', versions), []);
});
