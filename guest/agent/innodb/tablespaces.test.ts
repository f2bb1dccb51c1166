import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Deadline } from '../deadline.ts';
import { parseMaps } from '../process-memory.ts';
import { poolMemory } from './pool-memory.ts';
import { selectPages } from './finder.ts';
import { PoolPages } from './pool-pages.ts';
import { describeTablespace, TablespaceIndex, type TablespaceFile, withOnePageSize } from './tablespaces.ts';

function firstPage(spaceId: number, flags: number, page = 0): Buffer {
  const bytes = Buffer.alloc(64 * 1024);
  bytes.writeUInt32BE(page, 4);
  bytes.writeUInt32BE(spaceId, 34);
  bytes.writeUInt32BE(flags, 54);
  return bytes;
}

test('tablespace flags of real servers', (t) => {
  const describe = (product: 'mariadb' | 'mysql', flags: number): string => {
    const file = describeTablespace('t.ibd', firstPage(5, flags), product);
    return `${file?.pageSizeBytes ?? 0} ${file?.excluded ?? 'plain'}`;
  };
  t.is(describe('mariadb', 0x15), '16384 plain');
  t.is(describe('mariadb', 0x13), '4096 plain');
  t.is(describe('mariadb', 0x35), '16384 page-compressed');
  // ROW_FORMAT=COMPRESSED is never in the full_crc32 format.
  t.is(describe('mariadb', 0x29), '16384 compressed');
  t.is(describe('mariadb', 0x21), '16384 plain');
  t.is(describe('mariadb', 0x1_0021), '16384 page-compressed');
  t.is(describe('mysql', 0x4021), '16384 plain');
  t.is(describe('mysql', 0x4029), '16384 compressed');
  t.is(describe('mysql', 0x6021), '16384 encrypted');
  t.is(describe('mysql', 0x41e1), '65536 plain');
});

test('a header that says no page size of InnoDB, or not that of the others, costs its own file alone', (t) => {
  const sizesOf = (product: 'mariadb' | 'mysql', ...flags: number[]): unknown => {
    const files = flags.flatMap((flag) => describeTablespace('t.ibd', firstPage(5, flag), product) ?? []);
    const { pageSizeBytes, tablespaces } = withOnePageSize(files);
    return [pageSizeBytes, ...tablespaces.map(({ excluded }) => excluded)];
  };
  t.deepEqual(sizesOf('mariadb', 0x10, 0x1f, 0x13, 0x15), [
    4096,
    'page-size',
    'page-size',
    undefined,
    'page-size',
  ]);
  t.deepEqual(sizesOf('mariadb', 0x10), [16384, 'page-size']);
  t.deepEqual(sizesOf('mysql', 0x4041, 0x43c1, 0x4021), [16384, 'page-size', 'page-size', undefined]);
  t.deepEqual(sizesOf('mysql'), [16384]);
  // One of another server that comes first is none of this one.
  const system = describeTablespace('ibdata1', firstPage(0, 0x15), 'mariadb');
  const other = describeTablespace('t.ibd', firstPage(5, 0x13), 'mariadb');
  const { pageSizeBytes, tablespaces } = withOnePageSize([other, system].flatMap((file) => file ?? []));
  t.is(pageSizeBytes, 16384);
  t.deepEqual(
    tablespaces.map(({ excluded }) => excluded),
    ['page-size', undefined],
  );
});

/** What MariaDB writes for ENCRYPTED=YES and, with another scheme, for ENCRYPTED=NO. */
const cryptData = (scheme: 0 | 1): Buffer => Buffer.from([0x73, 0x0e, 0x0c, 0x52, 0x45, 0x74, scheme, 16]);

test("MariaDB's encryption stands behind the extent descriptors, where MariaDB 10.11.19 puts it", (t) => {
  for (const [flags, offset] of [
    [0x13, 1596],
    [0x14, 3772],
    [0x15, 10428],
    [0x16, 20668],
    [0x17, 41148],
  ] as const) {
    const excluded = (scheme: 0 | 1): unknown => {
      const bytes = firstPage(5, flags);
      bytes.set(cryptData(scheme), offset);
      return describeTablespace('t.ibd', bytes, 'mariadb')?.excluded;
    };
    t.deepEqual([excluded(1), excluded(0)], ['encrypted', undefined], flags.toString(16));
  }
});

test('files without a first page are no tablespaces', (t) => {
  t.is(describeTablespace('new.ibd', Buffer.alloc(65536), 'mysql'), undefined);
  t.is(describeTablespace('new.ibd', Buffer.alloc(100), 'mysql'), undefined);
  t.is(describeTablespace('ibdata1', firstPage(0, 0x15), 'mariadb')?.spaceId, 0);
});

test('a folder that cannot be read costs its own tables alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
  symlinkSync('loop', join(folder, 'loop'));
  symlinkSync('nowhere', join(folder, 'dangling'));
  mkdirSync(join(folder, 'shop'));
  const path = join(folder, 'shop', 'orders.ibd');
  writeFileSync(path, firstPage(7, 0x15));
  // Pages of 64 KiB, of which the last part says that it is encrypted.
  const large = firstPage(8, 0x17);
  large.set(cryptData(1), 41148);
  writeFileSync(join(folder, 'shop', 'large.ibd'), large);
  const pid = await standIn(t, folder);
  const found = await new TablespaceIndex('mariadb').read(pid, new Deadline(60_000));
  t.deepEqual(
    found
      .map(({ path, spaceId, excluded }) => [path, spaceId, excluded])
      .sort(([, a], [, b]) => Number(a) - Number(b)),
    [
      [`/proc/${pid}/root${path}`, 7, undefined],
      [`/proc/${pid}/root${join(folder, 'shop', 'large.ibd')}`, 8, 'encrypted'],
    ],
  );
  const index = new TablespaceIndex('mariadb');
  let nowMs = 0;
  await t.throwsAsync(index.read(pid, new Deadline(3, () => nowMs++)), { code: 'too-slow' });
});

/** A process that is no server: its working directory, and files that it holds open, are one's. */
async function standIn(t: ExecutionContext, folder: string, held: readonly string[] = []): Promise<number> {
  const opened = held.map((path) => openSync(path, 'r'));
  const server = spawn('sleep', ['60'], { cwd: folder, stdio: ['ignore', 'ignore', 'ignore', ...opened] });
  opened.forEach((file) => {
    closeSync(file);
  });
  t.teardown(() => {
    server.kill();
    rmSync(folder, { recursive: true });
  });
  await once(server, 'spawn');
  return server.pid ?? 0;
}

test('a file that the server holds open is the tablespace, and not a copy beside it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
  const write = (place: string, bytes: Uint8Array): string => {
    mkdirSync(join(folder, place, '..'), { recursive: true });
    writeFileSync(join(folder, place), bytes);
    return join(folder, place);
  };
  const copies = ['0-backup/orders.ibd', 'shop.bak/orders.ibd', 'zoo/orders.ibd'];
  for (const copy of copies) write(copy, firstPage(7, 0x15));
  const live = write('shop/orders.ibd', firstPage(7, 0x15));
  const system = write('ibdata1', firstPage(0, 0x15));
  // A copy of a part that the live system tablespace does not have.
  write('0-backup/ibdata2', firstPage(0, 0x15, 768));
  const closed = write('shop/closed.ibd', firstPage(8, 0x15));
  const pid = await standIn(t, folder, [live, system]);
  const found = await new TablespaceIndex('mariadb').read(pid, new Deadline(60_000));
  t.deepEqual(
    found.map(({ path }) => path).sort(),
    [system, closed, live].map((path) => `/proc/${pid}/root${path}`).sort(),
  );
});

test('of more files than are looked at those that the server holds come first', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
  const names = ['ibdata1', ...Array.from({ length: 9 }, (_, index) => `t${index}.ibd`)];
  const paths = names.map((name) => join(folder, name));
  for (const [index, path] of paths.entries()) writeFileSync(path, firstPage(index, 0x15));
  const held = [paths[0] ?? '', paths[6] ?? ''];
  const pid = await standIn(t, folder, held);
  const read = async (most: number): Promise<readonly string[]> =>
    (await new TablespaceIndex('mariadb').read(pid, new Deadline(60_000), most)).map(({ path }) => path);
  const inRoot = held.map((path) => `/proc/${pid}/root${path}`);
  t.deepEqual(await read(0), []);
  t.deepEqual(await read(2), inRoot);
  const more = await read(5);
  t.is(more.length, 5);
  t.deepEqual(more.slice(0, 2), inRoot);
});

test('files of a system tablespace behind the first have no header: that of the first is theirs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
  const write = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  // Any page; it lies where another has its flags, and says there that it is compressed and its pages have 4 KiB.
  const held = [write('ibdata2', firstPage(0, 0xd3, 768))];
  held.push(write('ibdata3', Buffer.alloc(64 * 1024)), write('ibdata1', firstPage(0, 0x15)));
  const pid = await standIn(t, folder, held);
  const index = new TablespaceIndex('mariadb');
  const found = await index.read(pid, new Deadline(60_000));
  t.deepEqual(
    found.sort((a, b) => a.firstPage - b.firstPage),
    ([0, 768] as const).map((firstPage, index) => ({
      ...{ path: `/proc/${pid}/root${join(folder, `ibdata${index + 1}`)}`, spaceId: 0, firstPage },
      ...{ pageSizeBytes: 16384, excluded: undefined },
    })),
  );
  rmSync(join(folder, 'ibdata1'));
  t.deepEqual(await index.read(pid, new Deadline(60_000)), []);
});

test('a system tablespace may have any name, and other files that the server holds are none', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
  const write = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const header = firstPage(0, 0x15);
  header.writeUInt16BE(8, 24);
  header.writeUInt32BE(768, 46);
  const system = write('sys1', header);
  const held = [
    system,
    write('binlog.000001', firstPage(0, 0x15)),
    write('ib_logfile0', Buffer.alloc(65_536)),
  ];
  const pid = await standIn(t, folder, held);
  const found = await new TablespaceIndex('mariadb').read(pid, new Deadline(60_000));
  t.deepEqual(
    found.map(({ path, spaceId }) => [path, spaceId]),
    [[`/proc/${pid}/root${system}`, 0]],
  );
});

const mayMount = spawnSync('unshare', ['--mount', 'true']).status === 0;

(mayMount ? test : test.skip)(
  'a database that is a link leads where its server sees it to lead',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
    for (const name of ['data', 'elsewhere/shop']) mkdirSync(join(folder, name), { recursive: true });
    symlinkSync('/mnt/shop', join(folder, 'data/shop'));
    writeFileSync(join(folder, 'elsewhere/shop/orders.ibd'), firstPage(7, 0x15));
    const script = 'mount --bind "$0/elsewhere" /mnt && cd "$0/data" && echo mounted && exec sleep 60';
    const server = spawn('unshare', ['--mount', 'sh', '-c', script, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.teardown(() => {
      server.kill();
      rmSync(folder, { recursive: true });
    });
    await once(server.stdout, 'data');
    const found = await new TablespaceIndex('mariadb').read(server.pid ?? 0, new Deadline(60_000));
    t.deepEqual(
      found.map(({ path, spaceId }) => [path, spaceId]),
      [[`/proc/${server.pid}/root/mnt/shop/orders.ibd`, 7]],
    );
  },
);

test('a tablespace that is encrypted in place is, and the server has any number of them', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tablespaces-'));
  const paths = Array.from({ length: 30 }, (_, index) => join(folder, `t${index}.ibd`));
  const writeAll = (scheme: 0 | 1): void => {
    for (const [index, path] of paths.entries()) {
      const bytes = firstPage(7 + index, 0x15);
      bytes.set(cryptData(scheme), 10428);
      writeFileSync(path, bytes);
    }
  };
  writeAll(0);
  const pid = await standIn(t, folder);
  const index = new TablespaceIndex('mariadb');
  const countEncrypted = async (deadline: Deadline): Promise<number> => {
    const found = await index.read(pid, deadline);
    t.is(found.length, paths.length);
    return found.filter(({ excluded }) => excluded === 'encrypted').length;
  };
  t.is(await countEncrypted(new Deadline(60_000)), 0);
  // The kernel's clock for files ticks every few milliseconds.
  await sleep(50);
  writeAll(1);
  // A look at the clock is 0.1 s: too little for all, and what was not read comes first the next time.
  let nowMs = 0;
  const some = await countEncrypted(new Deadline(60_000, () => (nowMs += 100)));
  t.true(some > 10 && some < 25, String(some));
  t.is(await countEncrypted(new Deadline(60_000, () => (nowMs += 100))), paths.length);
});

test('pages go to the file that holds them; what no file holds as it is in memory is excluded', (t) => {
  const file = (path: string, spaceId: number, more: Partial<TablespaceFile> = {}): TablespaceFile => ({
    path,
    spaceId,
    firstPage: 0,
    pageSizeBytes: 16384,
    excluded: undefined,
    ...more,
  });
  const found = new PoolPages(10);
  for (const [space, page] of [
    [0, 5],
    [0, 800],
    [3, 7],
    [4, 1],
    [0xffff_fffe, 2],
    [3, 8],
  ] as const)
    found.add(0x1000_0000 + found.count * 16384, space, page);
  found.dirty = 9;
  const selected = selectPages(
    found,
    16384,
    [
      file('ibdata1', 0),
      file('ibdata2', 0, { firstPage: 768 }),
      file('a.ibd', 3),
      file('b.ibd', 4, { excluded: 'encrypted' }),
    ],
    { product: 'mariadb', version: '10.11' },
    'descriptors',
  );
  t.deepEqual([...selected.file], [0, 1, 2, 2]);
  t.deepEqual([...selected.page], [5, 32, 7, 8]);
  t.deepEqual(
    [...selected.address].map((address) => (address - 0x1000_0000) / 16384),
    [0, 1, 2, 5],
  );
  t.like(selected.server, { cachedPages: 15, dirtyPages: 9, excludedPages: 2 });
  t.deepEqual(selected.leftOut, { dirty: 36, 'unknown-tablespace': 4, encrypted: 4 });
});

test('the heap, stacks, files and reservations hold no pool; huge pages do', (t) => {
  const isPool = (rest: string, size = 0x100_0000, permissions = 'rw-p'): boolean => {
    const range = `7f0000000000-${(0x7f00_0000_0000 + size).toString(16)}`;
    // 2d is what a user mounts (FUSE): its files have any name and number that he likes.
    const mappings = parseMaps(`${range} ${permissions} 00000000 ${rest}`, new Set(['254:0', '0:45']));
    t.is(mappings.length, 1, rest);
    return poolMemory(mappings).length === 1;
  };
  t.true(isPool('00:00 0 '));
  t.true(isPool('00:00 0    [anon:innodb]'));
  t.true(isPool('00:0f 77   /anon_hugepage (deleted)'));
  t.true(isPool('00:01 77   /SYSV00000000 (deleted)', undefined, 'rw-s'));
  t.true(isPool('00:01 0    /SYSV00000000 (deleted)', undefined, 'rw-s'));
  t.false(isPool('00:00 0    [heap]'));
  t.false(isPool('00:00 0    [stack]'));
  t.false(isPool('00:00 0 ', undefined, '---p'));
  t.false(isPool('00:00 0 ', 1024 * 1024));
  t.false(isPool('fe:00 77   /usr/lib/libc.so'));
  for (const name of ['/mnt/file', '/SYSV00000000 (deleted)', '/anon_hugepage (deleted)', '[anon:x]', ''])
    for (const inode of [0, 5]) t.false(isPool(`00:2d ${inode}    ${name}`), name);
});
