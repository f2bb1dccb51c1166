import test from 'ava';
import type { Mapping, Memory } from '../process-memory.ts';
import { calibrate, separate, type Tablespaces } from './calibration.ts';
import { crc32c } from './page-format.ts';
import { findInPool, ServerLayouts } from './pool-search.ts';
import { Deadline } from '../deadline.ts';
import { SearchMemory } from '../search-memory.ts';

const pageSize = 16384;
const base = 0x7f12_3400_0000;
const firstLsn = 5_000_000n;

/** A made-up version's descriptors: no server has these distances. */
const layout = {
  stride: 216,
  page: 8,
  space: 12,
  state: 20,
  counter: 60,
  modified: 72,
  newest: 80,
  frame: 184,
};

interface Block {
  /**
   * `writing`: called dirty, with a checksum already, and not in its file yet; `written`: in its file, and called dirty still;
   * `read-ahead`: of a part of its file that was never written.
   */
  readonly kind: 'clean' | 'dirty' | 'writing' | 'written' | 'read-ahead' | 'never-used' | 'freed';
  readonly space: number;
  readonly page: number;
}

/** Memory of a server: foreign bytes, an array of descriptors and their frames, and a stale copy of each page behind them. */
function imageOf(blocks: readonly Block[], fields = layout): { memory: Memory; mapping: Mapping } {
  const arrayAt = 3 * 65536 + 4096;
  const framesAt = Math.ceil((arrayAt + blocks.length * fields.stride) / pageSize) * pageSize;
  const bytes = Buffer.alloc(framesAt + 2 * blocks.length * pageSize);
  for (const [index, { kind, space, page }] of blocks.entries()) {
    const at = arrayAt + index * fields.stride;
    const frameAt = framesAt + index * pageSize;
    bytes.writeBigUInt64LE(BigInt(base + frameAt), at + fields.frame);
    if (kind === 'never-used') continue;
    const lsn = firstLsn + BigInt(index * 100);
    const isPage = kind !== 'freed';
    bytes.writeUInt32LE(isPage ? page : 0xffff_ffff, at + fields.page);
    bytes.writeUInt32LE(isPage ? space : 0xffff_ffff, at + fields.space);
    bytes.writeUInt8(isPage ? 5 : 3, at + fields.state + 1);
    if (kind === 'read-ahead') continue;
    if (kind === 'dirty' || kind === 'writing' || kind === 'written')
      bytes.writeBigUInt64LE(lsn, at + fields.modified);
    // As MariaDB 10.5's freed_page_clock: of most pages in a pool that is mostly dirty, and in no unit that a reader can know.
    if (kind === 'dirty' && index % 20 !== 0) bytes.writeUInt32LE(1, at + fields.counter);
    // As MySQL's newest_modification: of pages that were changed since they were read, written or not.
    if (index % 3 === 0) bytes.writeBigUInt64LE(lsn + 50n, at + fields.newest);
    const frame = bytes.subarray(frameAt, frameAt + pageSize);
    frame.writeUInt32BE(isPage ? page : 0xfefe_fefe, 4);
    frame.writeBigUInt64BE(lsn, 16);
    frame.writeUInt32BE(isPage ? space : 0xfefe_fefe, 34);
    frame.fill(page % 251, 38, pageSize - 8);
    frame.writeUInt32BE(Number(lsn & 0xffff_ffffn), pageSize - 8);
    frame.writeUInt32BE(crc32c(frame, 0, pageSize - 4), pageSize - 4);
    frame.copy(bytes, framesAt + (blocks.length + index) * pageSize);
    if (kind === 'dirty') frame.writeUInt8(frame.readUInt8(5000) ^ 1, 5000);
  }
  return {
    memory: {
      read(address, into) {
        const start = address - base;
        if (start < 0 || start >= bytes.length) return 0;
        return bytes.copy(into, 0, start, Math.min(bytes.length, start + into.length));
      },
    },
    mapping: { start: base, end: base + bytes.length, permissions: 'rw-p', kind: 'anonymous', path: '' },
  };
}

const kinds = (kindOf: (index: number) => Block['kind']): Block[] =>
  Array.from({ length: 600 }, (_, index) => ({
    kind: kindOf(index),
    space: 3 + (index % 2),
    page: 700 - index,
  }));
const mixed = kinds((index) =>
  index % 10 === 0 ? 'dirty' : index % 7 === 0 ? 'freed' : index > 500 ? 'never-used' : 'clean',
);
const spaces = [3, 4].map((spaceId) => ({
  ...{ spaceId, firstPage: 0, pageSizeBytes: pageSize, excluded: undefined },
  path: '/nowhere',
}));
/** Files in which the pages of some blocks are not, as they are in memory. */
const filesWithout = (blocks: readonly Block[]): Tablespaces => ({
  isPlain: (id) => id === 3 || id === 4,
  isStored: (id, number) => !blocks.some(({ space, page }) => space === id && page === number),
});
const server = { product: 'mysql', version: '8.0', build: { file: '1:2:3', id: 'ab' } } as const;
const countOf = (blocks: readonly Block[], kind: Block['kind']): number =>
  blocks.filter((block) => block.kind === kind).length;

test('the descriptors of a version that nobody knows are found out', (t) => {
  const { memory, mapping } = imageOf(mixed);
  const found = calibrate(memory, [mapping], pageSize, filesWithout([]));
  // A descriptor is counted from its id on.
  const { page } = layout;
  t.like(found.layout, {
    strideBytes: layout.stride,
    ...{ pageOffset: 0, spaceOffset: layout.space - page, frameOffset: layout.frame - page },
    ...{ modifiedOffset: layout.modified - page, cleanUpTo: 1 },
  });
  t.is(found.layout?.state.offset, layout.state - page);
  t.is(found.evidence.saidCleanChanged, 0);
  t.is(found.evidence.saidDirtyStored, 0);
});

test('a layout that was found out lists clean pages alone, once each, and is remembered by the build', (t) => {
  const { memory, mapping } = imageOf(mixed);
  const layouts = new ServerLayouts();
  for (const _round of [1, 2]) {
    const { pages, method } = findInPool(memory, [mapping], server, pageSize, spaces, layouts);
    t.is(method, 'descriptors');
    t.is(pages.count, countOf(mixed, 'clean'));
    t.is(pages.dirty, countOf(mixed, 'dirty'));
  }
  t.is(layouts.of(server).length, 1);
  t.is(layouts.of({ ...server, build: { file: '9:9:9', id: 'ab' } }).length, 0);
});

test('a page that was read ahead of what was ever written has an empty frame and is a page', (t) => {
  for (const few of [3, 20]) {
    const blocks = mixed.map((block, index) =>
      index % 10 === 1 && index < 10 * few ? { ...block, kind: 'read-ahead' as const } : block,
    );
    const { memory, mapping } = imageOf(blocks);
    const found = calibrate(memory, [mapping], pageSize, filesWithout([]));
    t.is(found.layout?.state.offset, layout.state - layout.page, `${few}: ${found.missing}`);
  }
});

test('without dirty pages to learn from there is no layout: frames are read, and no copies outside the pool are listed', (t) => {
  const clean = kinds((index) => (index % 7 === 0 ? 'freed' : 'clean'));
  const { memory, mapping } = imageOf(clean);
  const found = calibrate(memory, [mapping], pageSize, filesWithout([]));
  t.is(found.layout, undefined);
  t.regex(found.missing ?? '', /no dirty page/);
  const { pages, method } = findInPool(memory, [mapping], server, pageSize, spaces);
  t.is(method, 'scan');
  t.is(pages.count, countOf(clean, 'clean'));
  const poolEnd = mapping.end - clean.length * pageSize;
  t.true(pages.address.subarray(0, pages.count).every((address) => address < poolEnd));
});

const modifiedOffset = layout.modified - layout.page;

test('pages that are being written are dirty, though they have a checksum', (t) => {
  const blocks = kinds((index) => (index % 10 === 5 ? 'writing' : index % 7 === 0 ? 'freed' : 'clean'));
  const { memory, mapping } = imageOf(blocks);
  const files = filesWithout(blocks.filter(({ kind }) => kind === 'writing'));
  const found = calibrate(memory, [mapping], pageSize, files);
  t.is(found.layout?.modifiedOffset, modifiedOffset);
  t.is(found.evidence.saidDirty, countOf(blocks, 'writing'));
  t.is(found.evidence.saidDirtyStored, 0);
  // Nor can it be learned where no file can be read.
  t.is(calibrate(memory, [mapping], pageSize, { ...files, isStored: () => undefined }).layout, undefined);
});

test('a few dirty pages among many that are written already, which lie first, are enough', (t) => {
  const blocks = kinds((index) =>
    index < 200 && index % 3 === 0 ? 'written' : index % 25 === 0 ? 'dirty' : 'clean',
  );
  const { memory, mapping } = imageOf(blocks);
  const found = calibrate(memory, [mapping], pageSize, filesWithout([]));
  t.is(found.layout?.modifiedOffset, modifiedOffset);
  t.true(
    found.evidence.saidDirtyStored > 2 * (found.evidence.saidDirtyLookedAt - found.evidence.saidDirtyStored),
  );
});

test('a counter that most dirty pages have is not taken for an LSN, however few the clean ones are', (t) => {
  const { memory, mapping } = imageOf(kinds((index) => (index % 15 === 0 ? 'clean' : 'dirty')));
  t.is(calibrate(memory, [mapping], pageSize, filesWithout([])).layout?.modifiedOffset, modifiedOffset);
});

test('where all that are dirty are written already, there is nothing to learn from', (t) => {
  const { memory, mapping } = imageOf(kinds((index) => (index % 10 === 0 ? 'written' : 'clean')));
  const found = calibrate(memory, [mapping], pageSize, filesWithout([]));
  t.is(found.layout, undefined);
  t.regex(found.missing ?? '', /no dirty page/);
});

test('a field that does not say of all changed pages that they are dirty is none', (t) => {
  // Dirty pages whose descriptors say nothing: as if oldest_modification lay elsewhere.
  const { memory, mapping } = imageOf(mixed, { ...layout, modified: 300 });
  t.is(calibrate(memory, [mapping], pageSize, filesWithout([])).layout, undefined);
});

test('states of pages and of others, as an enumeration, in a bit field, and as MariaDB counts', (t) => {
  t.deepEqual(separate([5, 5], [3, 4]), { mask: 7, first: 5, last: 5 });
  t.deepEqual(separate([0x500, 0x1_0500], [0x300, 0x1_0300]), { mask: 0x600, first: 0x400, last: 0x400 });
  t.deepEqual(separate([0x2000_0000, 0x4000_0001], [0, 1, 3]), {
    ...{ mask: 0xffff_ffff, first: 0x2000_0000, last: 0x7fff_ffff },
  });
  t.is(separate([1, 2], [1, 2]), undefined);
});

/** Rows of addresses that follow each other, each at a distance of its own, and no pages behind them. */
function manyShapes(count: number): {
  readonly memory: Memory;
  readonly mapping: Mapping;
  readBytes: () => number;
} {
  const bytes = Buffer.alloc(count * 65_536);
  for (let shape = 0; shape < count; shape++)
    for (let row = 0; row < 8; row++)
      bytes.writeBigUInt64LE(
        BigInt(base + bytes.length - (10 - row) * pageSize),
        shape * 65_536 + row * (64 + 8 * shape),
      );
  let readBytes = 0;
  return {
    memory: {
      read(address, into) {
        const copied = bytes.copy(
          into,
          0,
          address - base,
          Math.min(bytes.length, address - base + into.length),
        );
        readBytes += copied;
        return copied;
      },
    },
    mapping: { start: base, end: base + bytes.length, permissions: 'rw-p', kind: 'anonymous', path: '' },
    readBytes: () => readBytes,
  };
}

test('memory with many distances between addresses is walked for a few of them', (t) => {
  const { memory, mapping, readBytes } = manyShapes(50);
  t.is(calibrate(memory, [mapping], pageSize, filesWithout([])).layout, undefined);
  const allBytes = mapping.end - mapping.start;
  t.true(readBytes() < 2 * allBytes, `${readBytes()} of ${allBytes} bytes`);
});

test('a search that takes too long is given up, and reads nothing beside its areas', (t) => {
  const { memory, mapping } = imageOf(mixed);
  const middle = mapping.start + 20 * pageSize;
  const areas = [
    { ...mapping, end: middle },
    { ...mapping, start: middle },
  ];
  const bytesAt = (address: number, bytes = 8192, read: readonly Mapping[] = areas): number =>
    new SearchMemory(memory, read, new Deadline(60_000)).read(address, new Uint8Array(bytes));
  t.deepEqual(
    [bytesAt(middle - 4096), bytesAt(mapping.end - 100), bytesAt(mapping.start - 1)],
    [8192, 100, 0],
  );
  t.deepEqual(
    [bytesAt(middle - 4096, 8192, areas.slice(0, 1)), bytesAt(middle, 8, areas.slice(0, 1))],
    [4096, 0],
  );
  let nowMs = 0;
  const search = (limitMs: number) =>
    findInPool(
      new SearchMemory(memory, [mapping], new Deadline(limitMs, () => nowMs++)),
      [mapping],
      server,
      pageSize,
      spaces,
    );
  t.is(search(Infinity).pages.count, countOf(mixed, 'clean'));
  t.throws(() => search(100), { code: 'too-slow' });
});
