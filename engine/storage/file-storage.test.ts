import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { openDiskImage } from './disk-image.ts';
import { allocateAligned, openFileStorage, versionOfFile } from './file-storage.ts';
import { sweepFolders } from './nbd-export.ts';
import { openSource } from './storage-place.ts';
import { openSources } from '../destination/listed-storage.ts';

function folder(t: ExecutionContext, parent = tmpdir()): string {
  const made = mkdtempSync(path.join(parent, 'poolshift-storage-'));
  t.teardown(() => {
    rmSync(made, { recursive: true });
  });
  return made;
}

// A disk's file system has O_DIRECT, one in memory has not.
for (const parent of [tmpdir(), '/dev/shm']) {
  test(`reads a file in ${parent}, several places at once`, async (t) => {
    const file = path.join(folder(t, parent), 'disk');
    const content = randomBytes(300 * 4096 + 512);
    writeFileSync(file, content);
    const storage = await openFileStorage(file);
    t.is(storage.sizeBytes, content.length);
    const arena = allocateAligned(3 * 1024 * 1024);
    await Promise.all(
      [0, 7, 44].map(async (block, index) => {
        const into = arena.subarray(index << 20, (index + 1) << 20);
        await storage.read(into, block * 4096);
        t.true(into.equals(content.subarray(block * 4096, block * 4096 + into.length)));
      }),
    );
    await t.throwsAsync(storage.read(arena.subarray(0, 4096), 301 * 4096), {
      instanceOf: CodedError,
      name: 'StorageError',
    });
    await storage.close();
  });
}

test('the version of a file changes when it is written to', async (t) => {
  const file = path.join(folder(t), 'disk');
  writeFileSync(file, 'a');
  const before = await versionOfFile(file);
  t.is(await versionOfFile(file), before);
  appendFileSync(file, 'b');
  t.not(await versionOfFile(file), before);
});

test('what is no place of storage says what one is, and a disk without a place which have one', async (t) => {
  const disk = { kind: 'disk', disk: 'vda' } as const;
  for (const location of ['rbd:pool/image', 'iscsi://host/target/0', 'json:{}', 'nbd://host:10809/vm'])
    await t.throwsAsync(openSource(disk, [{ name: 'vda', location }]), { message: /export the disk by NBD/ });
  await t.throwsAsync(openSource(disk, [{ name: 'vdb', location: '/x' }]), {
    message: 'no --storage is given for the disk "vda", but for "vdb"',
  });
});

test('what is smaller than a block is no disk', async (t) => {
  const file = path.join(folder(t), 'descriptor');
  writeFileSync(file, '# Disk DescriptorFile');
  for (const place of [file, '/proc/version'])
    await t.throwsAsync(openDiskImage(place), { message: /has \d+ bytes: it is no disk/ });
});

test('what is no file cannot be opened', async (t) => {
  for (const place of ['/nowhere/at/all', '/dev/null', tmpdir()]) {
    await t.throwsAsync(openFileStorage(place), { instanceOf: CodedError, name: 'StorageError' });
  }
});

test("a file that the guest names stays in its file system's folder", async (t) => {
  const parent = folder(t);
  const mount = path.join(parent, 'mount');
  mkdirSync(path.join(mount, 'db'), { recursive: true });
  writeFileSync(path.join(mount, 'db/t.ibd'), Buffer.alloc(8192, 1));
  writeFileSync(path.join(parent, 'secret'), Buffer.alloc(8192, 2));
  symlinkSync('../secret', path.join(mount, 'link'));
  const open = (name: string): ReturnType<typeof openSource> =>
    openSource({ kind: 'file', fileSystem: 's:/e', path: name }, [{ name: 's:/e', location: mount }]);
  const storage = await open('db/t.ibd');
  t.is(storage.sizeBytes, 8192);
  await storage.close();
  for (const name of ['../secret', 'link', 'db/../../secret']) {
    t.is((await t.throwsAsync<CodedError<'storage'>>(open(name))).code, 'outside', name);
  }
  t.is((await t.throwsAsync<CodedError<'storage'>>(open('nothing'))).code, 'cannot-open');
  const other = { kind: 'file', fileSystem: 'other:/e', path: 'x' } as const;
  await t.throwsAsync(openSource(other, [{ name: 's:/e', location: mount }]), {
    instanceOf: CodedError,
    name: 'StorageError',
  });
});

test('a file that the guest names stays in its NFS export', async (t) => {
  const places = [{ name: 's:/e', location: 'nfs://127.0.0.1/srv/export' }];
  for (const name of ['../secret', 'db/../../secret', '/etc/passwd', '', 'db//t.ibd']) {
    const open = openSource({ kind: 'file', fileSystem: 's:/e', path: name }, places);
    t.is((await t.throwsAsync<CodedError<'storage'>>(open)).code, 'outside', name);
  }
});

test('a disk is found by its name, else the one place without a name is taken', async (t) => {
  const parent = folder(t);
  for (const [name, blocks] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    writeFileSync(path.join(parent, name), Buffer.alloc(blocks * 4096));
  }
  const places = [
    { name: undefined, location: path.join(parent, 'a') },
    { name: 'vdb', location: path.join(parent, 'b') },
  ];
  for (const [disk, blocks] of [
    ['vda', 1],
    ['vdb', 2],
  ] as const) {
    const storage = await openSource({ kind: 'disk', disk }, places);
    t.is(storage.sizeBytes, blocks * 4096);
    await storage.close();
  }
});

test('a FIFO, a socket or a device in a shared folder is refused at once', async (t) => {
  const mount = folder(t);
  execFileSync('mkfifo', [path.join(mount, 'fifo')]);
  symlinkSync('fifo', path.join(mount, 'link'));
  mkdirSync(path.join(mount, 'folder'));
  for (const name of ['fifo', 'link', 'folder']) {
    const open = openSource({ kind: 'file', fileSystem: 's:/e', path: name }, [
      { name: 's:/e', location: mount },
    ]);
    t.is((await t.throwsAsync<CodedError<'storage'>>(open)).code, 'cannot-open', name);
  }
  await t.throwsAsync(openFileStorage(path.join(mount, 'fifo')), {
    instanceOf: CodedError,
    name: 'StorageError',
  });
});

test('a place is opened once for all sources of a list, and a list gets so many daemons', async (t) => {
  const file = path.join(folder(t), 'disk');
  writeFileSync(file, Buffer.alloc(8192));
  const disks = Array.from({ length: 2000 }, (_, i) => ({ kind: 'disk', disk: `d${i}` }) as const);
  const { readers } = await openSources(
    disks,
    disks.map(({ disk }) => ({ name: disk, location: file })),
    30_000,
    () => undefined,
  );
  t.is(new Set(readers).size, 1);
  await readers[0]?.close();
  const files = Array.from(
    { length: 40 },
    (_, i) => ({ kind: 'file', fileSystem: 's:/e', path: `t${i}.ibd` }) as const,
  );
  // Nobody serves there: each daemon ends by itself.
  const nfs = [{ name: 's:/e', location: 'nfs://127.0.0.1/srv/export' }];
  const { answer } = await openSources(files, nfs, 30_000, () => undefined);
  const refused = answer.storage.filter(
    (found) => !found.usable && found.reason.includes('16 storage daemons'),
  );
  t.is(refused.length, 24);
});

test("folders of engines that were killed are removed, those of running ones and of others' are not", async (t) => {
  const parent = folder(t);
  // Beyond the largest number that Linux gives.
  for (const name of [
    'poolshift-storage-99999999-a',
    `poolshift-storage-${process.pid}-b`,
    'other-99999999-c',
  ])
    mkdirSync(path.join(parent, name));
  await sweepFolders(parent);
  t.false(existsSync(path.join(parent, 'poolshift-storage-99999999-a')));
  t.true(existsSync(path.join(parent, `poolshift-storage-${process.pid}-b`)));
  t.true(existsSync(path.join(parent, 'other-99999999-c')));
});
