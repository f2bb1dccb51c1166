import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Deadline } from '../deadline.ts';
import { blocksPerFile, type DataDirectory, RelationFiles, type TaggedPages } from './relation-files.ts';

type Tag = readonly [space: number, database: number, relation: number, fork: number, block: number];

function columns(tags: readonly Tag[]): TaggedPages {
  const column = (index: 0 | 1 | 2 | 3 | 4): Uint32Array => Uint32Array.from(tags, (tag) => tag[index]);
  return {
    count: tags.length,
    ...{ space: column(0), database: column(1), relation: column(2), fork: column(3), block: column(4) },
  };
}

function assign(directory: DataDirectory, tags: readonly Tag[]) {
  const files = new RelationFiles(directory);
  const file = new Int32Array(tags.length);
  const page = new Uint32Array(tags.length);
  const left = files.assign(columns(tags), file, page, new Deadline(60_000));
  return { left, named: tags.map((_, index) => [files.paths[file[index] ?? -1], page[index]]), files };
}

const directory: DataDirectory = { path: '/data', majorVersion: '17', within: (path) => `/root${path}` };

test('a tag names its file, fork and part, and the page in it', (t) => {
  const { left, named, files } = assign(directory, [
    [1663, 5, 16384, 0, 3],
    [1663, 5, 16384, 0, blocksPerFile + 1],
    [1663, 5, 16384, 2, 0],
    [1663, 5, 16384, 3, 0],
    [1664, 0, 1260, 0, 0],
    [1663, 4, 16384, 0, 3],
    [1663, 5, 16384, 0, 4],
  ]);
  t.deepEqual(named, [
    ['/data/base/5/16384', 3],
    ['/data/base/5/16384.1', 1],
    ['/data/base/5/16384_vm', 0],
    ['/data/base/5/16384_init', 0],
    ['/data/global/1260', 0],
    ['/data/base/4/16384', 3],
    ['/data/base/5/16384', 4],
  ]);
  t.is(files.paths.length, 6);
  t.deepEqual(left, { freeSpaceMaps: 0, unknown: 0, beyond: 0 });
});

test('free space maps, forks and tablespaces that are not there have no file', (t) => {
  const { left, named } = assign(directory, [
    [1663, 5, 16384, 1, 0],
    [1663, 5, 16384, 4, 0],
    [16400, 5, 16384, 0, 0],
    [0xffffffff, 0xffffffff, 0xffffffff, 0, 0xffffffff],
  ]);
  t.deepEqual(left, { freeSpaceMaps: 1, unknown: 3, beyond: 0 });
  t.true(named.every(([path]) => path === undefined));
});

test("a tablespace is followed in the server's root, to the folder of its version", (t) => {
  const root = mkdtempSync(join(tmpdir(), 'space-'));
  t.teardown(() => {
    rmSync(root, { recursive: true });
  });
  for (const folder of ['data/pg_tblspc', 'fast/PG_16_202307071', 'fast/PG_17_202406281'])
    mkdirSync(join(root, folder), { recursive: true });
  symlinkSync('/fast', join(root, 'data/pg_tblspc/16400'));
  const inRoot = { path: join(root, 'data'), majorVersion: '17', within: (path: string) => join(root, path) };
  const { named } = assign(inRoot, [[16400, 5, 16384, 0, 7]]);
  t.deepEqual(named, [[join(root, 'fast/PG_17_202406281/5/16384'), 7]]);
});

test('of more databases or files than are looked at the first have their place, and the others are counted', (t) => {
  const tags = Array.from({ length: 20_000 }, (_, index): Tag => [20_000 + index, 5, 16384, 0, 0]);
  t.deepEqual(assign(directory, [...tags, [1663, 5, 16384, 0, 0]]).left, {
    freeSpaceMaps: 0,
    unknown: 10_000,
    beyond: 10_001,
  });
  const relations = Array.from({ length: 200_002 }, (_, index): Tag => [1663, 5, 16384 + index, 0, 0]);
  const { left, files } = assign(directory, relations);
  t.deepEqual(left, { freeSpaceMaps: 0, unknown: 0, beyond: 2 });
  t.is(files.paths.length, 200_000);
});
