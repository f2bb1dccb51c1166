import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { execa } from 'execa';
import { nameOf } from '../../engine/list/page-list.ts';
import { Disks, majorMinor, type NoPlace, sourcesOf } from './block-device.ts';
import { type FileExtents, parseFilefrag, readExtents } from './file-extents.ts';
import { parseTable } from './device-mapper.ts';
import { Deadline } from './deadline.ts';
import { ExtentIndex, locateFiles } from './file-location.ts';
import { parseGuestRam } from './guest-ram.ts';
import {
  parseMounts,
  parseNetworkMounts,
  parseOverlayMounts,
  parseRealtimeDevices,
  pathsBelow,
  placeInUpper,
  placeOnNetwork,
} from './mounts.ts';
import { parseMaps } from './process-memory.ts';

const filefrag = `Filesystem type is: ef53
File size of /d/a b.ibd is 10485760 (10485760 blocks of 1 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0.. 4194303: 28724699136..28728893439: 4194304:            
   1:  4194304.. 5242879: 30000000000..30001048575: 1048576: 28728893440: unwritten
   2:  5242880.. 6291455: 40960000..42008575: 1048576: 30001048576: shared
   3:  6291456.. 6295551:        0..    4095:    4096: 42008576: unknown_loc,delalloc
   4:  8388608..10485759: 50002048..52099199: 2097152: 28728893440: last,eof
/d/a b.ibd: 5 extents found
File size of /d/empty.ibd is 0 (0 blocks of 1 bytes)
/d/empty.ibd: 0 extents found
File size of /d/one.ibd is 4096 (4096 blocks of 1 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..    4095:     8192..   12287:   4096:             last,eof
/d/one.ibd: 1 extent found
`;

test("filefrag's extents; those that are no plain copy of the file, or not aligned, are left out", (t) => {
  const files = parseFilefrag(filefrag);
  t.deepEqual([...files.keys()], ['/d/a b.ibd', '/d/empty.ibd', '/d/one.ibd']);
  t.deepEqual(files.get('/d/a b.ibd'), {
    extents: [
      { logicalBlock: 0, physicalBlock: 28724699136 / 4096, count: 1024 },
      { logicalBlock: 1280, physicalBlock: 10000, count: 256 },
    ],
    hasUnaligned: true,
    isSettled: false,
  });
  t.deepEqual(files.get('/d/empty.ibd'), { extents: [], hasUnaligned: false, isSettled: true });
  t.deepEqual(files.get('/d/one.ibd'), {
    extents: [{ logicalBlock: 0, physicalBlock: 2, count: 1 }],
    hasUnaligned: false,
    isSettled: true,
  });
});

test('where a write may move a file’s blocks, they are not taken for settled', (t) => {
  const one = (name: string): string => `File size of ${name} is 4096 (4096 blocks of 1 bytes)
   0:        0..    4095:     8192..   12287:   4096:             last,eof
${name}: 1 extent found`;
  const files = parseFilefrag(
    [
      'Filesystem type is: 58465342',
      one('/xfs'),
      'Filesystem type is: ef53',
      one('/ext4'),
      one('/ext4/2'),
    ].join('\n'),
  );
  t.deepEqual(
    [...files.values()].map(({ isSettled }) => isSettled),
    [false, true, true],
  );
});

test('extents of a file system with small blocks keep their aligned middle', (t) => {
  const text = `File size of f is 20480 (20480 blocks of 1 bytes)
   0:     1024..   15359: 5120..19455: 14336: last,eof`;
  t.deepEqual(parseFilefrag(text).get('f')?.extents, [{ logicalBlock: 1, physicalBlock: 2, count: 2 }]);
});

test('ext4 with blocks of 1 KiB begins its files 1 KiB behind a multiple of 4 KiB, where no page can be named', (t) => {
  const text = `File size of /d/w1.ibd is 3145728 (3145728 blocks of 1 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0.. 2097151:   10486784..  12583935: 2097152:            
   1:  2097152.. 3145727:    9438208..  10486783: 1048576:   12583936: last,eof
/d/w1.ibd: 2 extents found`;
  t.like(parseFilefrag(text).get('/d/w1.ibd'), { extents: [], hasUnaligned: true });
});

const isSettled = (found: FileExtents | NoPlace | undefined): boolean | undefined =>
  found !== undefined && 'isSettled' in found ? found.isSettled : undefined;
const blocksOf = (found: FileExtents | NoPlace | undefined): number =>
  found !== undefined && 'extents' in found ? found.extents.reduce((sum, { count }) => sum + count, 0) : 0;

test('a file in too many pieces costs itself alone, and many of them no more than a few attempts', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extents-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const paths = Array.from({ length: 12 }, (_, index) => join(folder, `${index}.ibd`));
  for (const [index, path] of paths.entries()) {
    const file = openSync(path, 'w');
    // Every fourth block, so that no two of them can lie in one piece.
    const pieces = index % 6 === 3 ? 300 : 1;
    for (let piece = 0; piece < pieces; piece++)
      writeSync(file, Buffer.alloc(4096, 1), 0, 4096, piece * 16_384);
    fsyncSync(file);
    closeSync(file);
  }
  const limits = {
    ...{ batchFiles: 500, maxOutputBytes: 8000, timeoutMs: 60_000, maxHalvings: 64 },
    maxExtents: 1000,
  };
  const found = await readExtents(paths, new Deadline(60_000), limits);
  t.deepEqual(
    paths.map((path) => found.get(path)).map((one) => (blocksOf(one) === 0 ? one : blocksOf(one))),
    paths.map((_, index) => (index % 6 === 3 ? { leftOut: 'too-fragmented' } : 1)),
  );
  const few = await readExtents(paths, new Deadline(60_000), { ...limits, maxHalvings: 1 });
  t.is(paths.filter((path) => blocksOf(few.get(path)) > 0).length, 0);
  const whole = await readExtents(paths, new Deadline(60_000), { ...limits, maxOutputBytes: 1_000_000 });
  t.is(blocksOf(whole.get(paths[3] ?? '')), 300);
  const cut = await readExtents(paths, new Deadline(60_000), {
    ...limits,
    ...{ batchFiles: 4, maxOutputBytes: 1_000_000, maxExtents: 100 },
  });
  t.deepEqual(
    [0, 3, 4, 11].map((index) => blocksOf(cut.get(paths[index] ?? ''))),
    [1, 300, 0, 0],
  );
});

test('files that are not read in time are left out of one list, not of the next', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extents-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'table.ibd');
  writeFileSync(path, new Uint8Array(8192), { flush: true });
  const index = new ExtentIndex(() => 1e9);
  const read = async (deadline: Deadline) =>
    (await index.read([{ path, key: 'a', changedMs: 0 }], deadline)).get(path);
  t.deepEqual(await read(new Deadline(0, () => 0)), { leftOut: 'too-fragmented' });
  t.is(blocksOf(await read(new Deadline(60_000))), 2);
});

const noExtents = existsSync('/dev/shm') ? '/dev/shm' : undefined;
(noExtents === undefined ? test.skip : test)(
  'a file of which its file system tells no extents is no file of holes, and is asked about again',
  async (t) => {
    const folders = [tmpdir(), noExtents ?? ''].map((parent) => mkdtempSync(join(parent, 'extents-')));
    t.teardown(() => {
      for (const folder of folders) rmSync(folder, { recursive: true });
    });
    const files = folders.map((folder) => ({ path: join(folder, 'a.ibd'), key: folder, changedMs: 0 }));
    for (const { path } of files) writeFileSync(path, new Uint8Array(8192), { flush: true });
    const index = new ExtentIndex(() => 1e9);
    const read = async () => {
      const found = await index.read(files, new Deadline(60_000));
      return files.map(({ path }) => found.get(path));
    };
    const [told, untold] = await read();
    t.is(blocksOf(told), 2);
    t.deepEqual(untold, { leftOut: 'too-fragmented' });
    // Alone now, as the other is known.
    t.deepEqual(await read(), [told, untold]);
  },
);

test('of files of which not all are looked at in time the first have their place, or the reason why not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extents-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const paths = Array.from({ length: 9 }, (_, index) =>
    join(`/proc/${process.pid}/root`, folder, `${index}`),
  );
  for (const path of paths) writeFileSync(path, new Uint8Array(8192), { flush: true });
  const index = new ExtentIndex();
  const all = await locateFiles(process.pid, paths, index, new Deadline(60_000));
  let nowMs = 0;
  const some = await locateFiles(process.pid, paths, index, new Deadline(5.5, () => nowMs++));
  const none = { leftOut: 'too-fragmented' } as const;
  t.is(all.filter((one) => 'leftOut' in one && one.leftOut === none.leftOut).length, 0);
  // A look at the clock is a millisecond.
  t.deepEqual(
    some.slice(4),
    paths.slice(4).map(() => none),
  );
  t.deepEqual(await locateFiles(process.pid, paths, index, new Deadline(60_000)), all);
});

test("a file's extents are asked for once, and again when its key is another", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extents-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'table.ibd');
  const index = new ExtentIndex(() => 1e9);
  const read = async (key: string) =>
    (await index.read([{ path, key, changedMs: 0 }], new Deadline(60_000))).get(path);
  t.is(await read('absent'), undefined);
  writeFileSync(path, new Uint8Array(8192));
  const first = await read('a');
  t.truthy(first);
  t.is(await read('a'), first);
  t.not(await read('b'), first);
  t.not(await read('a'), first);
});

test('a preallocated file is looked at again once something was written into it, though it keeps its size', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extents-'));
  t.teardown(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'table.ibd');
  await execa('fallocate', ['--length', '1MiB', path]);
  let nowMs = Date.now();
  const index = new ExtentIndex(() => nowMs);
  const read = async () => {
    const { ctimeMs, size, blocks } = statSync(path);
    const found = await index.read(
      [{ path, key: `${size} ${blocks}`, changedMs: ctimeMs }],
      new Deadline(60_000),
    );
    return found.get(path);
  };
  const before = await read();
  t.is(isSettled(before), false, 'this file system preallocates');
  // It may still be on its way to the disk.
  t.not(await read(), before);
  nowMs += 3_600_000;
  const quiet = await read();
  t.is(await read(), quiet);
  const file = openSync(path, 'r+');
  writeSync(file, new Uint8Array(256 * 1024).fill(7));
  fsyncSync(file);
  closeSync(file);
  t.is(blocksOf(quiet), 0);
  t.is(blocksOf(await read()), 64);
});

type AddDevice = (device: string, path: string, files: Readonly<Record<string, string>>) => void;

/** A sysfs in a folder. */
function makeSysfs(t: ExecutionContext): { readonly root: string; readonly add: AddDevice } {
  const root = mkdtempSync(join(tmpdir(), 'sys-'));
  t.teardown(() => {
    rmSync(root, { recursive: true });
  });
  const add: AddDevice = (device, path, files) => {
    mkdirSync(join(root, path), { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(root, path, name, '..'), { recursive: true });
      writeFileSync(join(root, path, name), text);
    }
    mkdirSync(join(root, 'dev/block'), { recursive: true });
    symlinkSync(join(root, path), join(root, 'dev/block', device));
  };
  return { root, add };
}

test("a disk is known by its serial, a partition by its start; devices of others by the mapper's table", async (t) => {
  const { root, add } = makeSysfs(t);
  add('254:0', 'devices/virtio1/block/vda', { serial: 'pool0', 'device/vendor': '0x1af4' });
  add('254:1', 'devices/virtio1/block/vda/vda1', { partition: '1\n', start: '2048\n' });
  add('254:16', 'devices/virtio2/block/vdb', { serial: '', 'device/vendor': '0x1af4' });
  add('253:0', 'devices/virtual/block/dm-0', { 'dm/name': 'vg-root' });
  add('254:17', 'devices/virtio2/block/vdb/vdb1', { partition: '1\n', start: '63\n' });
  add('253:1', 'devices/virtual/block/dm-1', { 'dm/uuid': 'LVM-abc\n' });
  add('253:2', 'devices/virtual/block/dm-2', { 'dm/uuid': 'CRYPT-LUKS2-abc\n' });
  add('9:0', 'devices/virtual/block/md0', { 'md/level': 'raid5' });
  add('7:0', 'devices/virtual/block/loop0', { 'loop/backing_file': '/x' });
  add('8:0', 'devices/scsi/block/sda', { 'device/vpd_pg80': '\0\0\0\x06pool7 ' });
  add('259:0', 'devices/nvme/nvme0n1', { 'device/serial': 'twice\n' });
  add('259:1', 'devices/nvme/nvme0n2', { 'device/serial': 'twice\n' });
  mkdirSync(join(root, 'block'));
  for (const [name, path] of [
    ['vda', 'devices/virtio1/block/vda'],
    ['sda', 'devices/scsi/block/sda'],
    ['nvme0n1', 'devices/nvme/nvme0n1'],
    ['nvme0n2', 'devices/nvme/nvme0n2'],
  ] as const)
    symlinkSync(join(root, path), join(root, 'block', name));
  add('253:3', 'devices/virtual/block/dm-3', { 'dm/uuid': 'LVM-striped\n' });
  add('253:4', 'devices/virtual/block/dm-4', { 'dm/uuid': 'LVM-thin\n' });
  add('253:5', 'devices/virtual/block/dm-5', { 'dm/uuid': 'LVM-on-crypt\n' });
  const tables: Readonly<Record<string, string>> = {
    '253:0': '0 4096 linear 254:1 4096\n4096 2048 linear 254:16 0\n',
    '253:3': '0 2048 striped 2 128 254:1 2048 8:0 4096\n',
    '253:4': '0 2048 thin 253:9 1\n',
    '253:5': '0 2048 linear 253:2 0\n',
  };
  const disks = new Disks(root, async (device) => parseTable(tables[device] ?? ''));
  const onDisk = (disk: string, firstBlock: number): unknown => ({
    source: { kind: 'disk', disk },
    firstBlock,
  });
  for (const [device, expected] of [
    ['254:0', onDisk('pool0', 0)],
    ['254:1', onDisk('pool0', 256)],
    ['254:16', onDisk('vdb', 0)],
    ['8:0', onDisk('pool7', 0)],
    // Namespaces of one controller, or disks that were given one serial: only their names tell them apart.
    ['259:0', onDisk('nvme0n1', 0)],
    ['259:1', onDisk('nvme0n2', 0)],
    ['254:17', 'unaligned'],
    ['253:1', 'unknown-mapping'],
    ['253:2', 'encrypted-disk'],
    ['253:4', 'lvm'],
    ['253:5', 'encrypted-disk'],
    ['9:0', 'raid'],
    ['7:0', 'loop-device'],
    ['0:31', 'no-block-device'],
  ] as const) {
    const place = await disks.find(device);
    t.deepEqual('leftOut' in place ? place.leftOut : place, expected, device);
  }
  t.deepEqual(await disks.find('253:0'), {
    pieces: [
      {
        firstBlock: 0,
        count: 512,
        chunkBlocks: 512,
        stripes: [{ place: await disks.find('254:1'), firstBlock: 512 }],
      },
      {
        firstBlock: 512,
        count: 256,
        chunkBlocks: 256,
        stripes: [{ place: await disks.find('254:16'), firstBlock: 0 }],
      },
    ],
  });
  const striped = await disks.find('253:3');
  t.deepEqual('leftOut' in striped ? striped : sourcesOf(striped).map(nameOf), ['pool0', 'pool7']);
});

test('a serial that is the name of another disk does not make two disks one', async (t) => {
  const { root, add } = makeSysfs(t);
  mkdirSync(join(root, 'block'));
  for (const [device, name, serial] of [
    ['254:0', 'vda', 'vdb'],
    ['254:16', 'vdb', ''],
    ['254:32', 'vdc', 'vdc'],
    ['254:48', 'vdd', 'own'],
  ] as const) {
    add(device, `devices/${name}`, { serial, 'device/vendor': '0x1af4' });
    symlinkSync(join(root, 'devices', name), join(root, 'block', name));
  }
  // Bytes as the host has them, in page 0x80 of a SCSI disk as elsewhere.
  add('8:0', 'devices/sda', { 'device/vpd_pg80': '\0\0\0\x08für 1 ' });
  const disks = new Disks(root);
  const names = ['254:0', '254:16', '254:32', '254:48', '8:0'].map(async (device) => {
    const place = await disks.find(device);
    return 'leftOut' in place ? place.leftOut : sourcesOf(place).map(nameOf).join();
  });
  t.deepEqual(await Promise.all(names), ['vda', 'vdb', 'vdc', 'own', 'für 1']);
});

test("disks that the guest attaches over a network are none of the VM's", async (t) => {
  const { root, add } = makeSysfs(t);
  const serial = { serial: 'own', 'device/vendor': 'x' };
  add('8:0', 'devices/platform/host2/session1/target2:0:0/2:0:0:0/block/sda', serial);
  add('8:1', 'devices/platform/host2/session1/target2:0:0/2:0:0:0/block/sda/sda1', {
    partition: '1',
    start: '2048',
  });
  add('8:16', 'devices/pci0/host3/rport-3:0-0/target3:0:0/3:0:0:0/block/sdb', serial);
  add('8:32', 'devices/pci0/virtio2/host0/target0:0:0/0:0:0:0/block/sdc', serial);
  add('252:0', 'devices/rbd/0/block/rbd0', serial);
  add('43:0', 'devices/virtual/block/nbd0', { size: '2048' });
  add('147:0', 'devices/virtual/block/drbd0', { size: '2048' });
  add('259:0', 'devices/virtual/nvme-fabrics/ctl/nvme0/nvme0n1', {
    'device/transport': 'tcp\n',
    'device/serial': 'f',
  });
  add('259:1', 'devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1', {
    'device/nvme1/transport': 'rdma\n',
    'device/serial': 'r',
  });
  add('259:2', 'devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n1', {
    'device/nvme2/transport': 'pcie\n',
    'device/serial': 'p',
  });
  add('253:0', 'devices/virtual/block/dm-0', { 'dm/uuid': 'LVM-abc\n' });
  const disks = new Disks(root, async () => parseTable('0 4096 linear 8:1 0\n'));
  const reasonOf = async (device: string): Promise<string | undefined> => {
    const place = await disks.find(device);
    return 'leftOut' in place ? place.leftOut : undefined;
  };
  for (const device of ['8:0', '8:1', '8:16', '252:0', '43:0', '147:0', '259:0', '259:1', '253:0'])
    t.is(await reasonOf(device), 'network-disk', device);
  for (const device of ['8:32', '259:2']) t.is(await reasonOf(device), undefined, device);
});

test('the paths of an NVMe disk that has several are not further disks with its serial', async (t) => {
  const { root, add } = makeSysfs(t);
  add('259:0', 'devices/subsystem/nvme0n1', { 'device/serial': 'once', hidden: '0\n' });
  mkdirSync(join(root, 'devices/pci/nvme0/nvme0c0n1/device'), { recursive: true });
  writeFileSync(join(root, 'devices/pci/nvme0/nvme0c0n1/device/serial'), 'once\n');
  writeFileSync(join(root, 'devices/pci/nvme0/nvme0c0n1/hidden'), '1\n');
  mkdirSync(join(root, 'block'));
  symlinkSync(join(root, 'devices/subsystem/nvme0n1'), join(root, 'block/nvme0n1'));
  symlinkSync(join(root, 'devices/pci/nvme0/nvme0c0n1'), join(root, 'block/nvme0c0n1'));
  const place = await new Disks(root).find('259:0');
  t.deepEqual(place, { source: { kind: 'disk', disk: 'once' }, firstBlock: 0 });
});

test('a volume that snapshots are taken of lies where it lay before', (t) => {
  t.deepEqual(parseTable('0 2048 snapshot-origin 253:7\n'), [
    { firstBlock: 0, count: 256, chunkBlocks: 256, stripes: [{ device: '253:7', firstBlock: 0 }] },
  ]);
  t.is(parseTable('0 2048 snapshot-origin\n'), 'unknown-mapping');
});

test('a device whose last block is cut has its other blocks', (t) => {
  const stripes = [{ device: '254:1', firstBlock: 1 }];
  t.deepEqual(parseTable('0 2049 linear 254:1 8\n'), [
    { firstBlock: 0, count: 256, chunkBlocks: 257, stripes },
  ]);
  t.is(parseTable('0 2049 linear 254:1 8\n2049 8 linear 254:2 0\n'), 'unaligned');
});

test("the mapper's tables that say no block, and why", (t) => {
  t.is(parseTable('0 2048 crypt aes-xts-plain64 :64:logon:x 0 254:1 4096\n'), 'encrypted-disk');
  t.is(parseTable('0 2048 raid raid5_ls 3 128 region_size 1024 3 254:1 0 254:2 0 254:3 0\n'), 'raid');
  t.is(parseTable('0 2048 snapshot 253:1 253:2 P 16\n'), 'remapped-device');
  t.is(parseTable('0 2048 linear 254:1 4\n'), 'unaligned');
  t.is(parseTable('0 2048 striped 3 128 254:1 0 254:2 0\n'), 'unknown-mapping');
  t.is(parseTable('0 2048 striped 2 0 254:1 0 254:2 0\n'), 'unaligned');
  t.is(parseTable('No devices found\n'), 'remapped-device');
  t.is(parseTable(''), 'unknown-mapping');
});

test('device numbers as stat gives them', (t) => {
  t.is(majorMinor(0xfe01n), '254:1');
  t.is(majorMinor(0x1f_ff_0000_0ff5n & 0xfff_ffffn), '15:245');
  t.is(majorMinor(0x10_3405n), '52:261');
});

const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:45 / /mnt/db\\040files rw shared:9 - nfs4 nas:/export/vm rw,vers=4.2
32 22 0:45 /mysql /var/lib/mysql rw shared:9 - nfs4 nas:/export/vm rw,vers=4.2
33 22 0:46 / /mnt/db rw - nfs nas:/other rw,vers=3
34 22 0:47 / /run rw - tmpfs tmpfs rw
`;

test('files on NFS are named by their place on the server', (t) => {
  t.is(parseNetworkMounts(mountinfo).length, 3);
  t.deepEqual(onNetwork(mountinfo, '0:45', '/var/lib/mysql/sbtest/t1.ibd'), {
    fileSystem: 'nas:/export/vm',
    path: 'mysql/sbtest/t1.ibd',
  });
  t.deepEqual(onNetwork(mountinfo, '0:45', '/mnt/db files/mysql/ibdata1'), {
    fileSystem: 'nas:/export/vm',
    path: 'mysql/ibdata1',
  });
  t.is(onNetwork(mountinfo, '254:0', '/var/lib/mysql/ibdata1'), undefined);
  t.is(onNetwork(mountinfo, '0:46', '/mnt/dbx/ibdata1'), undefined);
});

const onNetwork = (text: string, device: string, path: string): ReturnType<typeof placeOnNetwork> =>
  placeOnNetwork(parseNetworkMounts(text), parseMounts(text), device, path);

test('of several mounts of one file system a file is named by the one on top, and by a mount of the file alone', (t) => {
  const text = `22 1 254:0 / / rw - ext4 /dev/vda rw
31 22 0:45 / /var/lib/mysql rw - nfs4 nas:/export/vm rw
32 31 0:45 /data /var/lib/mysql rw - nfs4 nas:/export/vm rw
33 22 0:45 /old /mnt/a rw - nfs4 nas:/export/vm rw
34 22 0:45 / /mnt rw - nfs4 nas:/export/vm rw
35 22 0:45 /files/t1.ibd /srv/t1.ibd rw - nfs4 nas:/export/vm rw
`;
  const pathOf = (path: string): string | undefined => onNetwork(text, '0:45', path)?.path;
  t.is(pathOf('/var/lib/mysql/t1.ibd'), 'data/t1.ibd');
  t.is(pathOf('/mnt/a/t1.ibd'), 'a/t1.ibd');
  t.is(pathOf('/srv/t1.ibd'), 'files/t1.ibd');
});

test('XFS with a realtime device has blocks on two disks', (t) => {
  const devices = parseRealtimeDevices(`22 1 254:0 / / rw - xfs /dev/vda rw,attr2,inode64,noquota
23 22 254:16 / /srv rw - xfs /dev/vdb rw,attr2,inode64,logbufs=8,rtdev=/dev/vdc,noquota
24 22 254:48 / /rtdev=x rw - ext4 /dev/vdd rw,rtdev=no
`);
  t.deepEqual([...devices], ['254:16']);
});

test('files that were written in a container lie in the upper folder of its overlay', (t) => {
  const text = `22 1 254:0 / / rw - ext4 /dev/vda rw
40 22 0:51 / / rw,relatime - overlay overlay rw,lowerdir=/l/a:/l/b,upperdir=/var/lib/up\\040per/diff,workdir=/w
41 22 0:52 / /ro ro - overlay overlay ro,lowerdir=/l/a:/l/b
`;
  const mounts = parseOverlayMounts(text);
  const inUpper = (device: string, path: string): string | undefined =>
    placeInUpper(mounts, parseMounts(text), device, path);
  t.is(mounts.length, 1);
  t.is(inUpper('0:51', '/var/lib/mysql/t1.ibd'), '/var/lib/up per/diff/var/lib/mysql/t1.ibd');
  t.is(inUpper('0:52', '/ro/t1.ibd'), undefined);
});

test('a file is seen at each mount of its part of the file system that nothing hides', (t) => {
  const mounts = parseMounts(`22 1 254:0 / / rw - ext4 /dev/vda rw
23 22 254:0 /srv/db /data rw - ext4 /dev/vda rw
24 22 254:1 / /home rw - ext4 /dev/vdb rw
25 24 0:60 / /home/user/own rw - fuse.sshfs sshfs rw
26 22 254:2 / /mnt rw - ext4 /dev/vdc rw
27 22 254:3 / /mnt rw - ext4 /dev/vdd rw
28 24 254:4 / /home/other/disk rw - ext4 /dev/vde rw
29 24 0:61 / /home/other rw - fuse.sshfs sshfs rw
30 24 0:62 / /home/user/one rw - fuse.sshfs sshfs rw
31 22 254:4 /file /etc/file rw - ext4 /dev/vde rw
`);
  t.deepEqual(pathsBelow(mounts, '254:0', '/srv/db/t1.ibd'), ['/srv/db/t1.ibd', '/data/t1.ibd']);
  t.deepEqual(pathsBelow(mounts, '254:0', '/srv/dbx/t1.ibd'), ['/srv/dbx/t1.ibd']);
  t.deepEqual(pathsBelow(mounts, '254:0', '/home/lost'), []);
  t.deepEqual(pathsBelow(mounts, '254:1', '/user/file'), ['/home/user/file']);
  t.deepEqual(pathsBelow(mounts, '254:1', '/user/own/file'), []);
  t.deepEqual(pathsBelow(mounts, '254:2', '/file'), []);
  // Mounted by a user above what the system has mounted before, or on a file.
  t.deepEqual(pathsBelow(mounts, '254:4', '/file'), ['/etc/file']);
  t.deepEqual(pathsBelow(mounts, '254:1', '/user/one'), []);
  t.deepEqual(pathsBelow(mounts, '254:3', '/file'), ['/mnt/file']);
});

test('RAM in iomem, whole pages of it', (t) => {
  const iomem = `00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-bfffffff : System RAM
  01000000-01ffffff : Kernel code
100000000-63fffffff : System RAM
`;
  t.deepEqual(parseGuestRam(iomem), [
    [1, 158],
    [256, 0xbffff],
    [0x100000, 0x63ffff],
  ]);
  t.throws(() => parseGuestRam('00000000-00000000 : System RAM\n'), { message: /root/ });
});

test('lines of maps, with and without a name', (t) => {
  const text = `7792a2000000-7792e4000000 rw-p 00000000 00:00 0 
7f92c08d6000-7f92c08d7000 rw-p 00026000 fe:00 339589                     /usr/lib/a b.so (deleted)
`;
  t.deepEqual(parseMaps(text, new Set()), [
    { start: 0x7792a2000000, end: 0x7792e4000000, permissions: 'rw-p', kind: 'anonymous', path: '' },
    {
      start: 0x7f92c08d6000,
      end: 0x7f92c08d7000,
      permissions: 'rw-p',
      kind: 'file',
      path: '/usr/lib/a b.so (deleted)',
    },
  ]);
});
