import test from 'ava';
import { decodePageList, encodePageList } from '../list/page-list-codec.ts';
import { emptyRuns, type PageList } from '../list/page-list.ts';
import type { MappedMemory } from './mapped-memory.ts';
import { pageState } from './page-ledger.ts';
import { PlanBuilder } from './plan-builder.ts';

/** As many entries, one after the other, as a guest may list of a large host's memory. */
function longList(runCount: number, runPages: number): PageList {
  const runs = emptyRuns(runCount);
  for (let run = 0; run < runCount; run++) {
    runs.storageBlock[run] = run * runPages;
    runs.guestFrame[run] = run * runPages;
    runs.count[run] = runPages;
  }
  return {
    sources: [{ kind: 'disk', disk: 'vda' }],
    runs,
    pageCount: runCount * runPages,
    guestRam: [[0, runCount * runPages - 1]],
    timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
    leftOut: {},
    failures: [],
    server: {
      ...{ product: 'other', version: '', method: 'scan' },
      ...{ cachedPages: 0, dirtyPages: 0, excludedPages: 0 },
    },
  };
}

test('a long stretch of pages that QEMU has sent is passed over in steps, and not read', (t) => {
  const pages = 2 ** 20;
  let reads = 0;
  let seen = 0;
  const memory = {
    hasher: { hashPage: () => undefined },
    pageOf: (frame: number) => frame,
    // The first page of the list alone is not settled.
    state: (page: number) => {
      seen += 1;
      return page === 0 ? pageState.listed : pageState.plain;
    },
    list: () => false,
    plan: () => undefined,
    drop: () => undefined,
    read: () => (reads += 1),
  } as unknown as MappedMemory;
  const list = decodePageList(encodePageList(longList(pages / 256, 256)));
  const plan = new PlanBuilder(list, [pages], memory);
  while (plan.listNext(65_536));
  let steps = 0;
  const taken: number[] = [];
  for (let more = true; more; steps++) {
    seen = 0;
    const before = plan.backPosition;
    more = plan.takeFromBack(64, 0, (page) => taken.push(page));
    t.true(
      before - plan.backPosition <= 4096 && seen <= 2 * 4096,
      `${before - plan.backPosition} in one step`,
    );
  }
  t.deepEqual(taken, [0]);
  t.is(plan.backPosition, 0);
  t.true(steps >= pages / 4096);
  t.is(reads, 1);
});
