import test from 'ava';
import fc from 'fast-check';
import { type Memory, parseMaps } from '../process-memory.ts';
import { blockBytes } from './page-format.ts';
import { findBuffers, sharedMemory, walkBuffers } from './shared-buffers.ts';

const start = 0x7f00_0000_0000;
const valid = (1 << 24) | (1 << 25);
const dirty = 1 << 23;

class Bytes implements Memory {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  read(address: number, into: Uint8Array): number {
    const from = address - start;
    if (from < 0 || from >= this.bytes.length) return 0;
    return this.bytes.copy(into, 0, from);
  }
}

interface Made {
  readonly memory: Bytes;
  readonly area: { readonly start: number; readonly end: number };
  readonly descriptorsAt: number;
  readonly blocksAt: number;
}

/** A shared memory of `count` buffers, of which `states` are the first ones'. */
function make(
  count: number,
  states: readonly number[],
  { before = 4096 + 128, alignment = 4096 } = {},
): Made {
  const blocksAt = Math.ceil((before + count * 64 + 1) / alignment) * alignment;
  const bytes = Buffer.alloc(blocksAt + count * blockBytes + 4096, 0);
  // Words that rise, but not by one at the distance of descriptors.
  for (let at = 0; at + 4 <= before; at += 4) bytes.writeUInt32LE(at, at);
  for (let index = 0; index < count; index++) {
    const at = before + index * 64;
    const state = states[index] ?? 0;
    const tag = state === 0 ? [0, 0, 0, 0xffffffff, 0xffffffff] : [1663, 5, 16384, 0, index];
    for (const [word, value] of [...tag, index, state >>> 0].entries())
      bytes.writeUInt32LE(value, at + word * 4);
    if (state === 0) continue;
    for (const [word, value] of [24, 8192, 8192, 0x2004].entries())
      bytes.writeUInt16LE(value, blocksAt + index * blockBytes + 12 + word * 2);
  }
  return {
    memory: new Bytes(bytes),
    area: { start, end: start + bytes.length },
    descriptorsAt: start + before,
    blocksAt: start + blocksAt,
  };
}

const always = (): boolean => true;
const states = Array.from({ length: 40 }, (_, index) => (index % 5 === 3 ? valid | dirty : valid));

test('buffers are found wherever they begin, with their pages', (t) => {
  for (const before of [128, 4096 + 128, 1024 * 1024 - 256, 1024 * 1024 + 640])
    for (const alignment of [4096, 128]) {
      const { memory, area, descriptorsAt, blocksAt } = make(64, states, { before, alignment });
      const layout = findBuffers(memory, area, always);
      t.deepEqual(layout, { descriptors: descriptorsAt, count: 64, blocks: blocksAt });
      if (layout === undefined) return;
      const pages = walkBuffers(memory, layout);
      t.is(pages.count, 32);
      t.is(pages.dirty, 8);
      t.deepEqual([...pages.block.subarray(0, 4)], [0, 1, 2, 4]);
      t.is(pages.address[3], blocksAt + 4 * blockBytes);
      t.deepEqual([pages.space[0], pages.database[0], pages.relation[0], pages.fork[0]], [1663, 5, 16384, 0]);
    }
});

test('pages are cold that were used once at most since the clock sweep passed them', (t) => {
  // Pinned by some, too, which is another number.
  const used = [0, 1, 2, 5].flatMap((usageCount) => [0, 3].map((pins) => valid | (usageCount << 18) | pins));
  const { memory, area } = make(64, [...used, dirty | valid, ...states]);
  const layout = findBuffers(memory, area, always);
  t.truthy(layout);
  if (layout === undefined) return;
  t.deepEqual([...walkBuffers(memory, layout).cold.subarray(0, 9)], [1, 1, 1, 1, 0, 0, 0, 0, 1]);
});

test('pages that are being read, or have no tag, are not taken', (t) => {
  const io = 1 << 26;
  const { memory, area } = make(64, [...states, valid | io, 1 << 24, 1 << 25, -1 ^ (dirty | io)]);
  const layout = findBuffers(memory, area, always);
  t.truthy(layout);
  if (layout === undefined) return;
  // The last has every other bit.
  t.is(walkBuffers(memory, layout).count, 33);
});

test('what is not in memory is not read', (t) => {
  const { memory, area, descriptorsAt } = make(64, states, { before: 3 * 1024 * 1024 });
  const read: number[] = [];
  const watched: Memory = {
    read: (address, into) => {
      read.push(address);
      return memory.read(address, into);
    },
  };
  const layout = findBuffers(watched, area, (from, to) => from <= descriptorsAt && descriptorsAt < to);
  t.is(layout?.descriptors, descriptorsAt);
  t.true(read.every((address) => address > start + 2 * 1024 * 1024));
});

test('a count without pages behind it is no array of buffers', (t) => {
  const { memory, area, blocksAt } = make(64, states);
  memory.bytes.fill(0x55, blocksAt - start);
  t.is(findBuffers(memory, area, always), undefined);
});

test('memory full of arrays that count up is given up soon', (t) => {
  const bytes = Buffer.alloc(8 * 1024 * 1024);
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE((at >>> 6) & 0x3ff, at);
  const memory = new Bytes(bytes);
  let reads = 0;
  const watched: Memory = {
    read: (address, into) => {
      reads++;
      return memory.read(address, into);
    },
  };
  t.is(findBuffers(watched, { start, end: start + bytes.length }, always), undefined);
  t.true(reads < 1000, String(reads));
});

test('memory that is cut anywhere, or random, gives buffers within it or none', (t) => {
  const whole = make(64, states);
  fc.assert(
    fc.property(fc.nat(whole.memory.bytes.length), (length) => {
      const memory = new Bytes(whole.memory.bytes.subarray(0, length));
      for (const end of [start + length, whole.area.end]) {
        const layout = findBuffers(memory, { start, end }, always);
        if (layout === undefined) continue;
        t.true(layout.blocks + layout.count * blockBytes <= end);
        t.true(walkBuffers(memory, layout).count <= layout.count);
      }
    }),
    { numRuns: 30 },
  );
  fc.assert(
    fc.property(fc.array(fc.nat(3), { minLength: 2000, maxLength: 6000 }), (words) => {
      const memory = new Bytes(Buffer.from(Uint32Array.from(words).buffer));
      const area = { start, end: start + memory.bytes.length };
      t.is(findBuffers(memory, area, always), undefined);
    }),
    { numRuns: 20 },
  );
});

test('shared memory is anonymous, of System V or of huge pages, the largest first', (t) => {
  const maps = [
    '7f0000000000-7f0000001000 rw-s 00000000 00:01 7 /dev/zero (deleted)',
    '7f0000100000-7f0000100038 rw-s 00000000 00:01 0 /SYSV0052e2c1 (deleted)',
    '7f0000200000-7f0000202000 rw-s 00000000 00:0f 7 /anon_hugepage (deleted)',
    '7f0000300000-7f0000310000 rw-p 00000000 00:01 7 /dev/zero (deleted)',
    '7f0000400000-7f0000410000 rw-s 00000000 00:19 7 /dev/shm/PostgreSQL.123',
    '7f0000500000-7f0000510000 r--p 00000000 fe:00 7 /usr/lib/postgresql/17/bin/postgres',
    // A user's file system (FUSE).
    '7f0000600000-7f0000700000 rw-s 00000000 00:2d 7 /dev/zero (deleted)',
  ];
  const found = sharedMemory(parseMaps(maps.join('\n'), new Set(['0:45'])));
  t.deepEqual(
    found.map(({ path }) => path),
    ['/anon_hugepage (deleted)', '/dev/zero (deleted)', '/SYSV0052e2c1 (deleted)'],
  );
});
