import test from 'ava';
import type { Mapping, Memory } from '../process-memory.ts';
import { isTrustworthy, verifyPages, walkDescriptors } from './descriptors.ts';
import { knownLayouts, type BlockLayout } from './layouts.ts';
import { selectPages } from './finder.ts';
import { scanFrames } from './frame-scan.ts';
import { findInPool, ServerLayouts } from './pool-search.ts';
import { Deadline } from '../deadline.ts';
import { crc32c, foldBinary } from './page-format.ts';

const pageSize = 16384;
const mebibyte = 1024 * 1024;

/** A stretch of memory with holes that cannot be read, and reads that are cut at `cutAt` bytes. */
class Image implements Memory {
  readonly bytes: Buffer;
  readonly base: number;
  readonly holes: (readonly [start: number, end: number])[] = [];

  constructor(base: number, length: number) {
    this.base = base;
    this.bytes = Buffer.alloc(length);
  }

  read(address: number, into: Uint8Array): number {
    const start = address - this.base;
    if (start < 0 || start >= this.bytes.length) return 0;
    let end = Math.min(start + into.length, this.bytes.length);
    for (const [holeStart, holeEnd] of this.holes) {
      if (start >= holeStart && start < holeEnd) return 0;
      if (holeStart > start) end = Math.min(end, holeStart);
    }
    into.set(this.bytes.subarray(start, end));
    return end - start;
  }

  get mapping(): Mapping {
    return {
      start: this.base,
      end: this.base + this.bytes.length,
      permissions: 'rw-p',
      kind: 'anonymous',
      path: '',
    };
  }
}

interface Block {
  readonly space: number;
  readonly page: number;
  readonly modified?: bigint;
  readonly state?: 'file' | 'free' | 'reading';
  /** Changed since its checksum was made. */
  readonly changed?: boolean;
  /** Written before CRC-32C was the default. */
  readonly isOld?: boolean;
  /** In the old sublist of the LRU list. */
  readonly isCold?: boolean;
  /** freed_page_clock */
  readonly clock?: number;
}

function putPage(image: Image, offset: number, block: Block, product: 'mariadb' | 'mysql'): void {
  const frame = image.bytes.subarray(offset, offset + pageSize);
  frame.fill(block.page % 251, 38, pageSize - 8);
  frame.writeUInt32BE(block.page, 4);
  frame.writeBigUInt64BE(0x1_0000_0000n + BigInt(block.page), 16);
  frame.writeUInt16BE(17855, 24);
  frame.writeUInt32BE(block.space, 34);
  if (block.isOld === true) {
    const sum = foldBinary(frame, 4, 26) + foldBinary(frame, 38, pageSize - 8);
    frame.writeUInt32BE(sum >>> 0, 0);
    frame.writeUInt32BE(foldBinary(frame, 0, 26), pageSize - 8);
    frame.writeUInt32BE(block.page, pageSize - 4);
  } else if (product === 'mariadb') {
    frame.writeUInt32BE(block.page, pageSize - 8);
    frame.writeUInt32BE(crc32c(frame, 0, pageSize - 4), pageSize - 4);
  } else {
    const sum = (crc32c(frame, 4, 26) ^ crc32c(frame, 38, pageSize - 8)) >>> 0;
    frame.writeUInt32BE(sum, 0);
    frame.writeUInt32BE(sum, pageSize - 8);
    frame.writeUInt32BE(block.page, pageSize - 4);
  }
  if (block.changed === true) frame.writeUInt8(frame.readUInt8(5000) ^ 1, 5000);
}

/** An 8 MiB extent as MariaDB 10.11.19 has it: descriptors of 160 bytes, frames from 5 pages on. */
function putMariadbExtent(image: Image, offset: number, blocks: readonly Block[]): void {
  for (const [index, block] of blocks.entries()) {
    const frame = offset + 5 * pageSize + index * pageSize;
    const descriptor = image.bytes.subarray(offset + index * 160, offset + (index + 1) * 160);
    descriptor.writeUInt32LE(block.page, 0);
    descriptor.writeUInt32LE(block.space, 4);
    descriptor.writeBigUInt64LE(block.modified ?? 0n, 16);
    descriptor.writeBigUInt64LE(BigInt(image.base + frame), 48);
    const states = { file: 0x4000_0001, free: 0, reading: 0x8000_0001 };
    descriptor.writeUInt32LE(states[block.state ?? 'file'], 68);
    descriptor.writeUInt32LE(2 * (block.clock ?? 0) + (block.isCold === true ? 1 : 0), 104);
    putPage(image, frame, block, 'mariadb');
  }
}

/** A chunk as MySQL 9.7.4 has it: descriptors of 368 bytes from 4096 on, frames after them. Gives the chunk's end. */
function putMysqlChunk(image: Image, offset: number, blocks: readonly Block[]): number {
  const frames = Math.ceil((offset + 4096 + blocks.length * 368) / pageSize) * pageSize;
  for (const [index, block] of blocks.entries()) {
    const at = offset + 4096 + index * 368;
    image.bytes.writeUInt32LE(block.space, at);
    image.bytes.writeUInt32LE(block.page, at + 4);
    image.bytes.writeUInt8({ file: 5, free: 1, reading: 5 }[block.state ?? 'file'], at + 21);
    image.bytes.writeBigUInt64LE(block.modified ?? 0n, at + 56);
    image.bytes.writeUInt32LE(block.clock ?? 0, at + 112);
    image.bytes.writeUInt8(block.isCold === true ? 1 : 0, at + 130);
    image.bytes.writeBigUInt64LE(BigInt(image.base + frames + index * pageSize), at + 256);
    putPage(image, frames + index * pageSize, block, 'mysql');
  }
  return frames + blocks.length * pageSize;
}

function layoutOf(product: 'mariadb' | 'mysql'): BlockLayout {
  const layout = knownLayouts.find((candidate) => candidate.product === product);
  if (layout === undefined) throw new Error(`no layout for ${product}`);
  return layout;
}

const build = { file: '', id: undefined };
const plainSpace = {
  ...{ spaceId: 3, firstPage: 0, pageSizeBytes: pageSize, excluded: undefined },
  path: '/nowhere',
};
const base = 0x7f12_3400_0000;
const plain = (count: number, space: number): Block[] =>
  Array.from({ length: count }, (_, index) => ({ space, page: 10 + index }));

test('MariaDB: clean pages of files are found; dirty, free and unfinished ones are not', (t) => {
  const image = new Image(base, 16 * mebibyte);
  putMariadbExtent(image, 0, [
    { space: 7, page: 3 },
    { space: 7, page: 4, modified: 99n, changed: true },
    { space: 7, page: 5, modified: 1n },
    { space: 7, page: 6, state: 'free' },
    { space: 7, page: 7, state: 'reading' },
    { space: 7, page: 8, modified: 0x5_0000_0000n, changed: true },
  ]);
  putMariadbExtent(image, 8 * mebibyte, plain(507, 9));
  const pages = walkDescriptors(image, [image.mapping], layoutOf('mariadb'), pageSize);
  t.is(pages.count, 2 + 507);
  t.is(pages.dirty, 2);
  t.deepEqual([...pages.page.subarray(0, 3)], [3, 5, 10]);
  t.is(pages.address[1], base + 7 * pageSize);
  t.is(pages.address[2], base + 8 * mebibyte + 5 * pageSize);
  t.true(isTrustworthy(verifyPages(image, pages, pageSize, () => true)));
});

test('MariaDB: an area that starts with something else, and ends in a part of an extent', (t) => {
  const image = new Image(base - 3 * mebibyte, 3 * mebibyte + 8 * mebibyte + mebibyte);
  image.bytes.fill(0xa5, 0, 3 * mebibyte);
  putMariadbExtent(image, 3 * mebibyte, plain(507, 1));
  putMariadbExtent(image, 11 * mebibyte, plain(59, 2));
  t.is(walkDescriptors(image, [image.mapping], layoutOf('mariadb'), pageSize).count, 507 + 59);
});

test('MySQL: chunks that the kernel merged into one area, and a foreign piece between them', (t) => {
  const image = new Image(base, 12 * mebibyte);
  const first = putMysqlChunk(image, 0, [
    ...plain(100, 3),
    { space: 4, page: 1, modified: 5n, changed: true },
  ]);
  const second = putMysqlChunk(image, first, plain(80, 5));
  const foreign = 2 * mebibyte + 4096 * 3;
  image.bytes.fill(0x5a, second, second + foreign);
  putMysqlChunk(image, second + foreign, plain(60, 6));
  const pages = walkDescriptors(image, [image.mapping], layoutOf('mysql'), pageSize);
  t.is(pages.count, 100 + 80 + 60);
  t.is(pages.dirty, 1);
  t.true(isTrustworthy(verifyPages(image, pages, pageSize, () => true)));
});

test('pages in the old sublist are cold, once the server has evicted as many as are in it', (t) => {
  const blocks = plain(500, 3).map((block, index) => ({
    ...block,
    isCold: index % 10 < 4,
    clock: index,
    ...(index % 5 === 0 ? { modified: 99n, changed: true } : {}),
  }));
  for (const product of ['mariadb', 'mysql'] as const) {
    const look = (of: readonly Block[]) => {
      const image = new Image(base, 16 * mebibyte);
      if (product === 'mariadb') putMariadbExtent(image, 0, of);
      else putMysqlChunk(image, 0, of);
      const { count, cold, heatUnknown } = walkDescriptors(
        image,
        [image.mapping],
        layoutOf(product),
        pageSize,
      );
      return { cold: [...cold.subarray(0, count)], heatUnknown };
    };
    const clean = blocks.filter(({ modified }) => modified === undefined);
    t.deepEqual(look(blocks), {
      cold: clean.map(({ isCold }) => (isCold ? 1 : 0)),
      heatUnknown: undefined,
    });
    const nothing = clean.map(() => 0);
    const few = look(blocks.map((block) => ({ ...block, clock: Math.min(block.clock, 150) })));
    t.deepEqual(few.cold, nothing);
    t.regex(few.heatUnknown ?? '', /evicted few/);
    for (const isCold of [true, false]) {
      const alike = look(blocks.map((block) => ({ ...block, isCold })));
      t.deepEqual(alike.cold, nothing);
      t.regex(alike.heatUnknown ?? '', /no old sublist/);
    }
  }
});

test('pages without a file, and those of other tablespaces, leave the others as cold as they were', (t) => {
  const image = new Image(base, 16 * mebibyte);
  const blocks = Array.from({ length: 300 }, (_, index) => ({
    ...{ space: index % 3 === 0 ? 77 : 3, page: 1000 - index },
    ...{ isCold: index % 7 < 3, clock: 500 },
  }));
  putMysqlChunk(image, 0, blocks);
  const found = walkDescriptors(image, [image.mapping], layoutOf('mysql'), pageSize);
  const server = { product: 'mysql', version: '9.7' } as const;
  const { count, page, cold } = selectPages(found, pageSize, [plainSpace], server, 'descriptors');
  const kept = blocks.filter(({ space }) => space === 3);
  t.is(count, kept.length);
  t.deepEqual(
    [...page].map((number, index) => [number, cold[index]]),
    kept.map(({ page: number, isCold }) => [number, isCold ? 1 : 0]),
  );
});

test('a descriptor area that cannot be read to its end gives the pages before the hole', (t) => {
  for (const cut of [4096 + 1, 4096 + 368 * 50, 4096 + 368 * 50 + 200, 4096 + 368 * 99]) {
    const image = new Image(base, 4 * mebibyte);
    putMysqlChunk(image, 0, plain(100, 3));
    image.holes.push([cut, cut + 100_000]);
    const { count } = walkDescriptors(image, [image.mapping], layoutOf('mysql'), pageSize);
    t.is(count, cut < 5000 ? 0 : Math.floor((cut - 4096) / 368), `hole at ${cut}`);
  }
});

test('the wrong layout finds nothing, or nothing that is trusted', (t) => {
  const image = new Image(base, 8 * mebibyte);
  putMysqlChunk(image, 0, plain(200, 3));
  t.is(walkDescriptors(image, [image.mapping], layoutOf('mariadb'), pageSize).count, 0);
  for (const change of [{ spaceOffset: 8 }, { pageOffset: 0 }, { strideBytes: 360 }, { frameOffset: 264 }]) {
    const pages = walkDescriptors(image, [image.mapping], { ...layoutOf('mysql'), ...change }, pageSize);
    t.false(isTrustworthy(verifyPages(image, pages, pageSize, () => true)), JSON.stringify(change));
  }
});

test('a layout that takes dirty pages for clean ones is not trusted', (t) => {
  const image = new Image(base, 8 * mebibyte);
  putMysqlChunk(
    image,
    0,
    plain(200, 3).map((block) => ({ ...block, modified: 77n, changed: true })),
  );
  const wrong = { ...layoutOf('mysql'), modifiedOffset: 64 };
  const pages = walkDescriptors(image, [image.mapping], wrong, pageSize);
  t.is(pages.count, 200);
  t.false(isTrustworthy(verifyPages(image, pages, pageSize, () => true)));
});

test('pages that were written before CRC-32C was the default are as good as others', (t) => {
  for (const product of ['mariadb', 'mysql'] as const) {
    const image = new Image(base, 8 * mebibyte);
    const blocks = plain(200, 3).map((block, index) => ({ ...block, isOld: index % 10 !== 0 }));
    if (product === 'mariadb') putMariadbExtent(image, 0, blocks);
    else putMysqlChunk(image, 0, blocks);
    for (const [version, method] of [
      [{ mariadb: '10.11.19', mysql: '9.7.4' }[product], 'descriptors'],
      ['77.7', 'scan'],
    ] as const) {
      const server = { product, version, build };
      const found = findInPool(image, [image.mapping], server, pageSize, [plainSpace]);
      t.is(found.method, method);
      t.regex(found.pages.heatUnknown ?? '', method === 'scan' ? /scan/ : /old sublist/);
      t.is(found.pages.count, 200);
    }
  }
});

test('pages of tablespaces that are compressed in their file do not count against the layout', (t) => {
  const image = new Image(base, 8 * mebibyte);
  const compressed = plain(150, 9).map((block) => ({ ...block, changed: true }));
  putMysqlChunk(image, 0, [...compressed, ...plain(50, 3)]);
  const server = { product: 'mysql', version: '9.7.4', build } as const;
  const spaces = [plainSpace, { ...plainSpace, spaceId: 9, excluded: 'compressed' as const }];
  const { pages, method } = findInPool(image, [image.mapping], server, pageSize, spaces);
  t.is(method, 'descriptors');
  t.is(pages.count, 200);
});

test('where no layout fits, frames are found by header and checksum', (t) => {
  for (const product of ['mariadb', 'mysql'] as const) {
    const image = new Image(base, 6 * mebibyte);
    for (let page = 0; page < 300; page++)
      putPage(
        image,
        4 * pageSize + page * pageSize,
        { space: page % 2 === 0 ? 3 : 99, page: page + 1, changed: page % 10 === 0 },
        product,
      );
    // A guard page in the middle hides its frame, and only that one.
    image.holes.push([104 * pageSize + 4096, 104 * pageSize + 8192]);
    const server = { product, version: '77.7', build };
    const { pages, method } = findInPool(image, [image.mapping], server, pageSize, [plainSpace]);
    t.is(method, 'scan');
    t.is(pages.count, 150 - 30);
    t.true([...pages.space.subarray(0, pages.count)].every((space) => space === 3));
    t.is(pages.address[0], base + 6 * pageSize);
    t.is(pages.page[0], 3);
  }
});

test('a scan lists what it found in its time, and counts what it did not look at', (t) => {
  const image = new Image(base, 8 * mebibyte);
  for (let page = 0; page < 512; page++)
    putPage(image, page * pageSize, { space: 3, page: page + 1 }, 'mysql');
  // A look at the clock, one for each MiB, takes a millisecond.
  let nowMs = 0;
  const pages = scanFrames(image, [image.mapping], pageSize, () => true, new Deadline(5, () => nowMs++));
  t.true(pages.count > 0 && pages.count < 512);
  t.is(pages.count % 64, 0);
  t.is(pages.count + pages.late, 512);
  const server = { product: 'mysql', version: '77.7' } as const;
  const { leftOut } = selectPages(pages, pageSize, [plainSpace], server, 'scan');
  t.deepEqual(leftOut, { 'not-in-time': pages.late * 4 });
});

test('a scan that finds nothing in its time is no list, and says why', (t) => {
  const image = new Image(base, 8 * mebibyte);
  let nowMs = 0;
  const search = (limitMs: number) =>
    findInPool(
      ...([image, [image.mapping], { product: 'mysql', version: '77.7', build }, pageSize] as const),
      ...([[plainSpace], new ServerLayouts(), new Deadline(limitMs, () => nowMs++)] as const),
    );
  t.throws(() => search(4), { code: 'too-slow' });
  t.throws(() => search(Infinity), { code: 'unknown-layout' });
});

test('memory without any page is an error that says so', (t) => {
  const image = new Image(base, 4 * mebibyte);
  const error = t.throws(() =>
    findInPool(image, [image.mapping], { product: 'mysql', version: '5.0', build }, pageSize, [plainSpace]),
  );
  t.like(error, { code: 'unknown-layout' });
});

test('where no file has pages as they are in memory, none are looked for, and the reason is that', (t) => {
  let reads = 0;
  const server = { product: 'mariadb', version: '11.8', build } as const;
  const image = new Image(base, 4 * mebibyte);
  const memory: Memory = { read: (address, into) => (reads++, image.read(address, into)) };
  const spaces = ([5, 6] as const).map((spaceId) => ({
    ...plainSpace,
    spaceId,
    excluded: 'encrypted' as const,
  }));
  for (const [tablespaces, message] of [
    [spaces, /in memory: 2 tablespaces, encrypted$/],
    [[], /no tablespace of .* was found/],
  ] as const)
    t.throws(() => findInPool(memory, [image.mapping], server, pageSize, tablespaces), {
      code: 'unsupported-storage',
      message,
    });
  t.is(reads, 0);
});
