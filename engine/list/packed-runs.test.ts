import test from 'ava';
import fc from 'fast-check';
import { decodePageList, encodePageList } from './page-list-codec.ts';
import { groupRuns, unpackAll } from './packed-runs.ts';
import type { PageList, PageRuns } from './page-list.ts';

const runs = 3 * groupRuns + 17;
/** The second source has no runs; the third begins within a group. */
const thirdSourceFrom = groupRuns + 1234;
/** Cold runs are of the third source alone, and begin within a group and with the first block again. */
const coldFrom = 2 * groupRuns + 99;

/** Runs of every length, with gaps, in no order of memory. */
const columns: PageRuns = {
  firstColdRun: coldFrom,
  sourceIndex: Uint16Array.from({ length: runs }, (_, run) => (run < thirdSourceFrom ? 0 : 2)),
  storageBlock: Uint32Array.from(
    { length: runs },
    (_, run) => 7 + 300 * (run - Math.max(...[0, thirdSourceFrom, coldFrom].filter((from) => from <= run))),
  ),
  guestFrame: Uint32Array.from({ length: runs }, (_, run) => Math.imul(run, 0x9e3779b1) >>> 1),
  count: Uint16Array.from({ length: runs }, (_, run) => 1 + (run % 250)),
};

const list: PageList = {
  sources: ['a', 'b', 'c'].map((disk) => ({ kind: 'disk', disk })),
  runs: columns,
  pageCount: columns.count.reduce((sum, count) => sum + count, 0),
  guestRam: [[0, 0x7fff_ffff]],
  timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
  leftOut: {},
  failures: [],
  server: { product: 'other', version: '', method: 'scan', cachedPages: 0, dirtyPages: 0, excludedPages: 0 },
};

const { runs: packed, pageCount } = decodePageList(encodePageList(list));

test('all runs, over many groups, with a source and with cold runs that begin within one', (t) => {
  t.is(packed.length, runs);
  t.is(pageCount, list.pageCount);
  t.deepEqual(unpackAll(packed), columns);
});

test('a cursor finds any run, in any order', (t) => {
  const cursor = packed.cursor();
  const anyRun = fc.oneof(
    fc.nat(runs - 1),
    fc.nat(3).map((group) => group * groupRuns),
  );
  fc.assert(
    fc.property(anyRun, (run) => {
      cursor.moveTo(run);
      t.is(cursor.run, run);
      const { sourceIndex, storageBlock, guestFrame, count } = columns;
      t.deepEqual(
        [cursor.sourceIndex, cursor.storageBlock, cursor.guestFrame, cursor.count],
        [sourceIndex[run], storageBlock[run], guestFrame[run], count[run]],
      );
    }),
    { numRuns: 500 },
  );
});

test('beyond the ends there are no pages', (t) => {
  const cursor = packed.cursor();
  for (const run of [-1, runs, runs + groupRuns]) {
    cursor.moveTo(run);
    t.is(cursor.count, 0);
  }
  cursor.moveTo(runs - 1);
  t.is(cursor.count, 1 + ((runs - 1) % 250));
});
