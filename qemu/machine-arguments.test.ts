import test from 'ava';
import {
  diskToPlugIn,
  kernelCommandLine,
  qemuArguments,
  type MachineDescription,
} from './machine-arguments.ts';

const machine: MachineDescription = {
  name: 'poolshift',
  paths: {
    controlSocket: '/run/qmp.sock',
    recorderSocket: '/run/qmp-recorder.sock',
    agentSocket: '/run/agent.sock',
    console: '/run/console.log',
    pidFile: '/run/qemu.pid',
    ram: '/dev/shm/ram',
  },
  accelerator: 'tcg',
  memoryBytes: 512 * 2 ** 20,
  processors: 1,
  kernelPath: '/share/vmlinuz',
  initrdPath: '/share/initrd',
  guestAddress: '10.30.0.10/24',
  bufferPoolBytes: 333 * 2 ** 20,
  disk: { kind: 'nfs', server: '10.20.0.3', path: '/srv/export/disk.img' },
  tapInterface: 'tap0',
  macAddress: '52:54:00:aa:00:10',
  role: 'source',
};

const after = (flag: string, list: readonly string[]): (string | undefined)[] =>
  list.flatMap((argument, index) => (argument === flag ? [list[index + 1]] : []));

test('a target has its source’s arguments, waits for a migration, and then to be continued', (t) => {
  const source = qemuArguments(machine);
  t.deepEqual(qemuArguments({ ...machine, role: 'target' }), [...source, '-incoming', 'defer', '-S']);
});

test('guest RAM is one shared file of the memory’s size', (t) => {
  const list = qemuArguments(machine);
  t.deepEqual(after('-m', list), ['536870912B']);
  t.deepEqual(after('-object', list), [
    'memory-backend-file,id=ram0,share=on,mem-path=/dev/shm/ram,size=536870912B',
  ]);
  t.regex(after('-machine', list)[0] ?? '', /,memory-backend=ram0$/);
  const [prefaulted] = after('-object', qemuArguments({ ...machine, prefaults: true }));
  t.regex(prefaulted ?? '', /,size=536870912B,prealloc=on$/);
});

test('the disk is opened over NFS or as a file, past the page cache', (t) => {
  const parsed = (description: MachineDescription): unknown[] =>
    after('-blockdev', qemuArguments(description)).map((text): unknown => JSON.parse(text ?? ''));
  const raw = { driver: 'raw', file: 'storage0', 'node-name': 'disk0', cache: { direct: true } };
  t.deepEqual(parsed(machine), [
    {
      driver: 'nfs',
      server: { type: 'inet', host: '10.20.0.3' },
      path: '/srv/export/disk.img',
      'node-name': 'storage0',
      cache: { direct: true },
    },
    raw,
  ]);
  t.deepEqual(parsed({ ...machine, disk: { kind: 'file', path: '/mnt/a,b.img' } }), [
    { driver: 'file', filename: '/mnt/a,b.img', 'node-name': 'storage0', cache: { direct: true } },
    raw,
  ]);
});

test('the kernel is told the address, the pool and the server’s options', (t) => {
  const line = kernelCommandLine({ ...machine, serverOptions: ['--a=1', '--b=2'] });
  t.true(
    line.includes('poolshift.address=10.30.0.10/24 poolshift.pool=349175808 poolshift.options=--a=1,--b=2'),
  );
  t.true(line.includes('tsc=reliable'));
  t.false(kernelCommandLine({ ...machine, accelerator: 'kvm' }).includes('tsc=reliable'));
  t.false(kernelCommandLine(machine).includes('poolshift.options'));
  t.false(kernelCommandLine(machine).includes('poolshift.nfs'));
  t.regex(
    kernelCommandLine({ ...machine, nfsDataExport: '10.30.0.3:/e' }),
    / poolshift\.nfs=10\.30\.0\.3:\/e$/,
  );
});

test('the processor follows the accelerator', (t) => {
  t.deepEqual(after('-cpu', qemuArguments(machine)), ['Nehalem']);
  t.deepEqual(after('-cpu', qemuArguments({ ...machine, accelerator: 'kvm' })), ['host']);
});

test('a guest that is to hint its free pages has a balloon with a thread of its own, and others have none', (t) => {
  t.notRegex(qemuArguments(machine).join(' '), /balloon/);
  const list = qemuArguments({ ...machine, balloon: 'free-page-hint' });
  t.regex(
    list.join(' '),
    /-object iothread,id=(\w+) -device virtio-balloon-pci,free-page-hint=on,iothread=\1/,
  );
});

test('a VM on standby has a port for a disk, which is plugged in as its second', (t) => {
  t.notRegex(qemuArguments(machine).join(' '), /pcie-root-port/);
  const waiting = { ...machine, standby: 'handover' } as const;
  t.regex(qemuArguments(waiting).join(' '), /-device pcie-root-port,id=port0/);
  t.regex(kernelCommandLine(waiting), /poolshift\.standby=handover/);
  const { nodes, device } = diskToPlugIn(machine.disk);
  t.deepEqual(
    nodes.map((node) => node['node-name']),
    ['storage1', 'disk1'],
  );
  t.like(device, { bus: 'port0', drive: 'disk1' });
});
