import test from 'ava';
import fc from 'fast-check';
import type { Mapping, Memory } from '../process-memory.ts';
import type { BlockLayout, LruFields } from './layouts.ts';
import { findLruFields } from './lru-fields.ts';

const pageSize = 16384;
const base = 0x7f12_3400_0000;
/** A made-up version's descriptors: no server has these distances. */
const layout: BlockLayout = {
  ...{ strideBytes: 216, frameOffset: 184, pageOffset: 0, spaceOffset: 4, modifiedOffset: 16, cleanUpTo: 1 },
  state: { offset: 8, mask: 0xff, first: 5, last: 5 },
};
const flushNode = 40;
const lruNode = 56;
const accessTime = 96;
/** `old` as MariaDB has it, and as MySQL has. */
const forms: readonly LruFields[] = [
  { old: { offset: 80, mask: 1 }, clock: { offset: 80, shift: 1 } },
  { old: { offset: 128, mask: 0x1_0000 }, clock: { offset: 112, shift: 0 } },
];

interface Pool {
  readonly fields: LruFields;
  readonly instances?: number;
  /** freed_page_clock of a page at a place of the list, from 0 at its head to 1 at its tail. */
  readonly clockAt?: (place: number) => number;
  readonly oldShare?: number;
  /** Whether the page's link to the next one has changed since. */
  readonly isTorn?: (index: number) => boolean;
}

const perInstance = 1000;
/** Of so many descriptors one holds no page. */
const freeEvery = 9;

/** Memory with one array of descriptors for each instance, the pages of which are in its lists in an order of their own. */
function poolOf({
  fields,
  instances = 1,
  clockAt = (place) => Math.round(50_000 - 40_000 * place),
  oldShare = 0.37,
  isTorn = () => false,
}: Pool): { readonly memory: Memory; readonly areas: readonly Mapping[] } {
  const arrayBytes = Math.ceil((perInstance * layout.strideBytes) / pageSize) * pageSize;
  const instanceBytes = arrayBytes + perInstance * pageSize;
  const arrays = Array.from({ length: instances }, (_, instance) => {
    const bytes = Buffer.alloc(arrayBytes);
    const start = base + instance * instanceBytes;
    const addressOf = (index: number | undefined): bigint =>
      index === undefined ? 0n : BigInt(start + index * layout.strideBytes);
    const pages = [...Array(perInstance).keys()].filter((index) => index % freeEvery !== 0);
    const inList = pages.map((_, place) => pages[(place * 367) % pages.length] ?? 0);
    for (let index = 0; index < perInstance; index++)
      bytes.writeBigUInt64LE(
        BigInt(start + arrayBytes + index * pageSize),
        index * layout.strideBytes + layout.frameOffset,
      );
    for (const [place, index] of inList.entries()) {
      const at = index * layout.strideBytes;
      const isOld = place >= (1 - oldShare) * inList.length;
      bytes.writeUInt32LE(0xabcd_0005, at + layout.state.offset);
      bytes.writeBigUInt64LE(addressOf(inList[place - 1]), at + lruNode);
      bytes.writeBigUInt64LE(addressOf(isTorn(index) ? 0 : inList[place + 1]), at + lruNode + 8);
      bytes.writeUInt32LE(Math.imul(index, 0x9e37_79b1) >>> 0, at + accessTime);
      // In part dirty pages, which are in the flush list in the order of their addresses.
      if (index % 4 !== 0) {
        bytes.writeBigUInt64LE(addressOf(index - 1), at + flushNode);
        bytes.writeBigUInt64LE(addressOf(index + 1), at + flushNode + 8);
      }
      const clock = at + fields.clock.offset;
      const clockWord = (clockAt(place / inList.length) << fields.clock.shift) >>> 0;
      bytes.writeUInt32LE(clockWord, clock);
      const old = at + fields.old.offset;
      if (isOld) bytes.writeUInt32LE((bytes.readUInt32LE(old) | fields.old.mask) >>> 0, old);
    }
    return { start, bytes };
  });
  const end = base + instances * instanceBytes;
  return {
    memory: {
      read(address, into) {
        const array = arrays.find(({ start }) => address >= start && address < start + instanceBytes);
        // Frames are not looked at.
        return array?.bytes.copy(into, 0, Math.min(address - array.start, arrayBytes)) ?? 0;
      },
    },
    areas: [{ start: base, end, permissions: 'rw-p', kind: 'anonymous', path: '' }],
  };
}

const find = ({ memory, areas }: ReturnType<typeof poolOf>): LruFields | undefined =>
  findLruFields(memory, areas, layout, pageSize);

test('what says which pages are old is found, of one pool and of several instances', (t) => {
  for (const fields of forms)
    for (const instances of [1, 4]) t.deepEqual(find(poolOf({ fields, instances })), fields);
});

test('before anything is evicted nothing is found', (t) => {
  for (const fields of forms) t.is(find(poolOf({ fields, clockAt: () => 0 })), undefined);
});

test('a list that changes while it is looked at', (t) => {
  for (const fields of forms) {
    t.deepEqual(find(poolOf({ fields, isTorn: (index) => index % 4 === 1 })), fields);
    t.is(find(poolOf({ fields, isTorn: (index) => index % 8 !== 1 })), undefined);
  }
});

test('what lies as it should and is not so along the list is not taken', (t) => {
  for (const fields of forms) {
    // A clock that stands, or goes the other way; and a flag that few pages have, or most.
    t.is(find(poolOf({ fields, clockAt: () => 7 })), undefined);
    t.is(find(poolOf({ fields, clockAt: (place) => Math.round(10_000 * place) })), undefined);
    for (const oldShare of [0.05, 0.8]) t.is(find(poolOf({ fields, oldShare })), undefined);
  }
});

test('any words in the descriptors give fields within them, or none', (t) => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), fc.constantFrom(...forms), (seed, fields) => {
      const pool = poolOf({ fields });
      let state = seed;
      const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
      const noisy: Memory = {
        read(address, into) {
          const bytes = pool.memory.read(address, into);
          for (let at = 0; at < bytes; at++) if (random() % 50 === 0) into[at] = random() >>> 24;
          return bytes;
        },
      };
      const found = findLruFields(noisy, pool.areas, layout, pageSize);
      t.true(found === undefined || (found.clock.offset >= 0 && found.old.offset < layout.strideBytes));
    }),
    { numRuns: 20 },
  );
});
