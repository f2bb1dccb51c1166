import test from 'ava';
import fc from 'fast-check';
import { CodedError } from '../../foundation/coded-error.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import type { PageHash } from './outside.ts';
import { type Extent, RestorePlan } from './restore-plan.ts';

const blockPages = 1000;
const storageBlocks = 10_000;

function part(
  runs: readonly (readonly [block: number, page: number, count: number])[],
  blockIndex = 0,
): PlanPart {
  const pageCount = runs.reduce((sum, [, , count]) => sum + count, 0);
  // The hash says which block it is, to see that hashes stay in step.
  const hashes = runs.flatMap(([block, , count]) =>
    Array.from({ length: count }, (_, i) => [block + i, 99]).flat(),
  );
  return {
    blockIndex,
    sourceIndex: 3,
    runs: Uint32Array.from(runs.flat()),
    hashes: Uint32Array.from(hashes),
    pageCount,
  };
}

function drain(plan: RestorePlan, maxBytes = 1 << 20): Extent[] {
  const extents: Extent[] = [];
  for (let next = plan.nextExtent(maxBytes); next !== undefined; next = plan.nextExtent(maxBytes))
    extents.push(next);
  return extents;
}

/** Ends a read that has given one right block, if any: the hash is the block's number. */
function finish(
  plan: RestorePlan,
  extent: Extent,
  rightBlock?: number,
): { readonly taken: readonly number[]; readonly asked: readonly number[] } {
  const taken: number[] = [];
  const asked: number[] = [];
  const content = rightBlock === undefined ? undefined : Buffer.alloc(extent.lengthBytes);
  content?.writeUInt32LE(rightBlock ?? 0, (rightBlock ?? 0) * 4096 - extent.offsetBytes);
  const hash: PageHash = {
    hashPage: (buffer, offset, into, index) => {
      into[index] = Buffer.from(buffer).readUInt32LE(offset);
      into[index + 1] = 99;
    },
  };
  plan.finish(extent, content, hash, {
    take: (_block, page) => taken.push(page),
    ask: (pages) => asked.push(...pages.map(({ pageIndex }) => pageIndex)),
  });
  return { taken, asked };
}

test('neighbours on storage are read at once, with small gaps, up to the limit', (t) => {
  const plan = new RestorePlan();
  plan.add(
    part([
      [100, 50, 4],
      [104, 10, 4],
      [110, 20, 1],
      [200, 30, 2],
    ]),
    blockPages,
    storageBlocks,
  );
  const extents = drain(plan);
  t.deepEqual(
    extents.map(({ offsetBytes, lengthBytes }) => [offsetBytes / 4096, lengthBytes / 4096]),
    [
      [100, 11],
      [200, 2],
    ],
  );
  t.deepEqual([...(extents[0]?.pages ?? [])], [50, 51, 52, 53, 10, 11, 12, 13, 20]);
  t.deepEqual([...(extents[0]?.slots ?? [])], [0, 1, 2, 3, 4, 5, 6, 7, 10]);
  t.is(extents[0]?.sourceIndex, 3);
});

test('pages that do not exist, or are planned twice, are refused', (t) => {
  for (const runs of [
    [[0, blockPages - 1, 2]],
    [[storageBlocks - 1, 0, 2]],
    [
      [0, 5, 1],
      [9, 5, 1],
    ],
  ] as const) {
    t.throws(
      () => {
        new RestorePlan().add(part(runs), blockPages, storageBlocks);
      },
      { instanceOf: CodedError, name: 'WireError' },
    );
  }
});

test('a record that came first cancels, one that was asked for does not count as cancelled', (t) => {
  const plan = new RestorePlan();
  plan.add(part([[0, 0, 3]]), blockPages, storageBlocks);
  plan.supersede(0, 0);
  plan.supersede(0, 0);
  plan.supersede(0, 500);
  plan.supersede(1, 1);
  t.is(plan.pendingPages, 2);
  t.is(plan.cancelledPages, 1);
  const [extent] = drain(plan);
  if (extent === undefined) throw new Error('a read was expected');
  t.deepEqual([...extent.pages], [1, 2]);
  // Storage has page 2, and something else in the place of page 1.
  t.deepEqual(finish(plan, extent, 2), { taken: [2], asked: [1] });
  t.is(plan.pendingPages, 1);
  plan.supersede(0, 1);
  t.is(plan.pendingPages, 0);
  t.is(plan.cancelledPages, 1);
  t.is(plan.askedPages, 1);
  t.deepEqual([plan.restoredPages, plan.mismatchedPages, plan.unreadablePages], [1, 1, 0]);
});

test('a source of which most cannot be used is given up, and no other', (t) => {
  const plan = new RestorePlan(8);
  // Of each of these sources eight pages, one after the other; so many of them are not there.
  const readsOf = (sourceIndex: number, missing: number): void => {
    const pages = Array.from({ length: 8 }, (_, i) => [i, 8 * sourceIndex + i, 1] as const);
    plan.add({ ...part(pages), sourceIndex }, blockPages, storageBlocks);
    for (const [i, extent] of drain(plan, 4096).entries()) finish(plan, extent, i < missing ? undefined : i);
  };
  readsOf(0, 4);
  t.deepEqual(plan.givenUpSources, []);
  readsOf(1, 5);
  t.deepEqual(plan.givenUpSources, [1]);
  const before = plan.givenUpSources;
  readsOf(2, 0);
  t.is(plan.givenUpSources, before);
  readsOf(3, 8);
  t.deepEqual(plan.counts.givenUpSources, [1, 3]);
});

test('a source whose first pages alone cannot be used is no longer given up once most could be', (t) => {
  const plan = new RestorePlan(8);
  const pages = Array.from({ length: 16 }, (_, i) => [i, i, 1] as const);
  plan.add({ ...part(pages), sourceIndex: 1 }, blockPages, storageBlocks);
  for (const [i, extent] of drain(plan, 4096).entries()) {
    finish(plan, extent, i < 6 ? undefined : i);
    t.deepEqual(plan.givenUpSources, i >= 4 && i < 11 ? [1] : [], `${i}`);
  }
});

test('pages of a read that failed are asked for, those that were superseded meanwhile are left alone', (t) => {
  const plan = new RestorePlan();
  plan.add(part([[0, 0, 3]]), blockPages, storageBlocks);
  const [extent] = drain(plan);
  if (extent === undefined) throw new Error('a read was expected');
  plan.supersede(0, 1);
  t.deepEqual(finish(plan, extent), { taken: [], asked: [0, 2] });
  t.deepEqual([plan.restoredPages, plan.mismatchedPages, plan.unreadablePages], [0, 0, 2]);
  t.is(plan.pendingPages, 2);
});

test('the cursor stands before what is still being read, in whatever order reads end', (t) => {
  const plan = new RestorePlan();
  plan.add(
    part([
      [0, 0, 2],
      [100, 10, 3],
      [200, 20, 4],
    ]),
    blockPages,
    storageBlocks,
  );
  const [a, b, c] = drain(plan);
  if (a === undefined || b === undefined || c === undefined) throw new Error('three reads were expected');
  t.is(plan.cursorPages, 0);
  finish(plan, b);
  t.is(plan.cursorPages, 0);
  finish(plan, a);
  t.is(plan.cursorPages, 5);
  finish(plan, c);
  t.is(plan.cursorPages, 9);
});

test('every pending page is given out once, with its hash, within the limit', (t) => {
  const runs = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 20 })), { maxLength: 30 })
    .map((steps) => {
      let block = 0;
      let page = 0;
      return steps.map(([gap, count]): [number, number, number] => {
        block += gap;
        const run: [number, number, number] = [block, page, count];
        block += count;
        page += count;
        return run;
      });
    });
  fc.assert(
    fc.property(runs, fc.array(fc.nat(600)), fc.integer({ min: 1, max: 40 }), (all, cancelled, maxBlocks) => {
      const plan = new RestorePlan();
      const half = Math.floor(all.length / 2);
      plan.add(part(all.slice(0, half)), blockPages, storageBlocks);
      for (const page of cancelled) plan.supersede(0, page);
      plan.add(part(all.slice(half)), blockPages, storageBlocks);
      const expected = new Map<number, number>();
      all.forEach(([block, page, count], index) => {
        for (let i = 0; i < count; i++) {
          if (index >= half || !cancelled.includes(page + i)) expected.set(page + i, block + i);
        }
      });
      t.is(plan.pendingPages, expected.size);
      for (const extent of drain(plan, maxBlocks * 4096)) {
        t.true(extent.lengthBytes <= maxBlocks * 4096 && extent.lengthBytes > 0);
        extent.pages.forEach((page, i) => {
          const block = extent.offsetBytes / 4096 + (extent.slots[i] ?? 0);
          t.is(expected.get(page), block);
          t.is(extent.hashes[2 * i], block);
          t.true((extent.slots[i] ?? 0) < extent.lengthBytes / 4096);
          expected.delete(page);
        });
        finish(plan, extent);
      }
      t.is(expected.size, 0);
      t.is(plan.cursorPages, plan.receivedPages);
    }),
    { numRuns: 300 },
  );
});

test('what somebody waits for is read first, with what is planned of its InnoDB page, and is not restored twice', (t) => {
  const plan = new RestorePlan();
  plan.add(
    part([
      [100, 40, 8],
      [200, 8, 3],
    ]),
    blockPages,
    storageBlocks,
  );
  plan.add(part([[300, 500, 2]]), blockPages, storageBlocks);
  plan.supersede(0, 45);
  plan.want(0, 46);
  plan.want(0, 10);
  plan.want(0, 501);
  plan.want(0, 45);
  plan.want(0, 999);
  plan.want(1, 40);
  const wanted = [1, 2, 3].map(() => plan.nextExtent(4096));
  t.deepEqual(
    wanted.map((extent) => [extent?.offsetBytes, extent?.lengthBytes, [...(extent?.pages ?? [])]]),
    [
      [104 * 4096, 4 * 4096, [44, 46, 47]],
      [200 * 4096, 3 * 4096, [8, 9, 10]],
      [300 * 4096, 2 * 4096, [500, 501]],
    ],
  );
  t.deepEqual(
    wanted.map((extent) => [...(extent?.slots ?? [])]),
    [
      [0, 2, 3],
      [0, 1, 2],
      [0, 1],
    ],
  );
  t.deepEqual([...(wanted[0]?.hashes ?? [])], [104, 99, 106, 99, 107, 99]);
  // The others come in their order; those that are being read may be read again.
  const [rest] = drain(plan);
  t.deepEqual([...(rest?.pages ?? [])].slice(0, 4), [40, 41, 42, 43]);
  const first = wanted[0];
  if (first === undefined || rest === undefined) throw new Error('nothing to read');
  t.deepEqual(finish(plan, first, 106).taken, [46]);
  t.false(finish(plan, rest, 106).taken.includes(46));
  // What storage had not as planned was asked for.
  t.is(plan.openPages, plan.pendingPages - plan.askedPages);
});

/** Storage block of page n is 2n + 10, so that pages which follow each other do not on storage. */
const openSteps = fc.array(
  fc.record({ do: fc.constantFrom('read', 'end', 'fail', 'supersede', 'want'), value: fc.nat(59) }),
  { maxLength: 40 },
);

test('what is open is what storage is still to give, each page once, and stays so whatever comes later', (t) => {
  let open = 0;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 59 }), openSteps, openSteps, (cut, before, after) => {
      const plan = new RestorePlan();
      const runs = Array.from({ length: 60 }, (_, page) => [2 * page + 10, page, 1] as const);
      plan.add(part(runs.slice(0, cut)), blockPages, storageBlocks);
      plan.add(part(runs.slice(cut)), blockPages, storageBlocks);
      const pending = new Set(runs.map(([, page]) => page));
      const asked = new Set<number>();
      const reading: Extent[] = [];
      const hash: PageHash = {
        hashPage: (buffer, offset, into, index) => {
          into[index] = Buffer.from(buffer).readUInt32LE(offset);
          into[index + 1] = 99;
        },
      };
      const step = ({ do: what, value }: { readonly do: string; readonly value: number }): void => {
        if (what === 'supersede') {
          plan.supersede(0, value);
          pending.delete(value);
        } else if (what === 'want') plan.want(0, value);
        else if (what === 'read') {
          const extent = plan.nextExtent(8 * 4096);
          if (extent !== undefined) reading.push(extent);
        } else {
          const extent = reading.shift();
          if (extent === undefined) return;
          const content = Buffer.alloc(extent.lengthBytes);
          for (let at = 0; at < content.length; at += 4096)
            content.writeUInt32LE((extent.offsetBytes + at) / 4096, at);
          plan.finish(extent, what === 'end' ? content : undefined, hash, {
            take: (_, page) => pending.delete(page),
            ask: (pages) => {
              for (const { pageIndex } of pages) asked.add(pageIndex);
            },
          });
        }
      };
      before.forEach(step);
      const expected = [...pending].filter((page) => !asked.has(page));
      const may = new Set(pending);
      const parts = plan.open();
      after.forEach(step);
      const found: number[] = [];
      for (const { runs: named, hashes, pageCount, sourceIndex } of parts) {
        t.is(sourceIndex, 3);
        let at = 0;
        for (let i = 0; i < named.length; i += 3) {
          const [block = 0, first = 0, count = 0] = named.subarray(i, i + 3);
          for (let k = 0; k < count; k += 1, at += 1) {
            found.push(first + k);
            t.is(block + k, 2 * (first + k) + 10);
            t.deepEqual([...hashes.subarray(2 * at, 2 * at + 2)], [block + k, 99]);
          }
        }
        t.is(at, pageCount);
      }
      t.is(new Set(found).size, found.length);
      for (const page of expected) t.true(found.includes(page));
      for (const page of found) t.true(may.has(page));
      open += found.length;
    }),
  );
  t.true(open > 1000, `${open}`);
});
