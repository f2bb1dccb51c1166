import test from 'ava';
import { decodePageList, encodePageList } from '../list/page-list-codec.ts';
import { emptyRuns, type PageList } from '../list/page-list.ts';
import type { MappedMemory } from './mapped-memory.ts';
import { pageState } from './page-ledger.ts';
import { PlanBuilder } from './plan-builder.ts';

/** As many entries, one after the other, as a guest may list of a large host's memory, of so many sources. */
function longList(runCount: number, runPages: number, sources = 1): PageList {
  const runs = emptyRuns(runCount);
  for (let run = 0; run < runCount; run++) {
    runs.sourceIndex[run] = Math.floor((run * sources) / runCount);
    runs.storageBlock[run] = run * runPages;
    runs.guestFrame[run] = run * runPages;
    runs.count[run] = runPages;
  }
  return {
    sources: Array.from({ length: sources }, (_, index) => ({ kind: 'disk', disk: `vd${index}` })),
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

/** A memory of so many pages, all of which may be listed; content of each is its number. */
function memoryOf(states: Uint8Array): MappedMemory {
  return {
    hasher: {
      hashPage: (buffer: Buffer, at: number, into: Uint32Array, index: number) =>
        (into[index] = buffer.readUInt32LE(at)),
    },
    nameOf: (page: number) => ({ blockIndex: 0, pageIndex: page }),
    pageOf: (frame: number) => frame,
    state: (page: number) => states[page],
    list: (page: number) => {
      states[page] = pageState.listed;
      return true;
    },
    plan: (page: number) => (states[page] = pageState.planned),
    drop: (page: number) => (states[page] = pageState.plain),
    read: (page: number, count: number, into: Buffer) => {
      for (let i = 0; i < count; i++) into.writeUInt32LE(page + i + 1, i * 4096);
    },
  } as unknown as MappedMemory;
}

test('what is left of a source that was given up is passed over, and sent; the others are planned', (t) => {
  const states = new Uint8Array(400);
  const memory = memoryOf(states);
  // Of each of four sources a hundred pages.
  const list = decodePageList(encodePageList(longList(40, 10, 4)));
  const plan = new PlanBuilder(list, [400, 400, 400, 400], memory);
  while (plan.listNext(65_536));
  const planned = new Map<number, number>();
  const planNext = (pages: number): void => {
    for (const part of plan.planNext(pages, () => undefined))
      planned.set(part.sourceIndex, (planned.get(part.sourceIndex) ?? 0) + part.pageCount);
  };
  planNext(64);
  planNext(64);
  t.deepEqual([...planned], [[0, 100]]);
  planNext(30);
  t.true(plan.giveUp(1));
  t.false(plan.giveUp(1));
  plan.giveUp(3);
  const sent: number[] = [];
  const send = (page: number): void => void sent.push(page);
  // From the back, too, a page of the source that nothing was planned of.
  t.true(plan.takeFromBack(1, 0, send));
  t.deepEqual(sent, [399]);
  planNext(64);
  t.true(plan.hasPassedOver);
  t.is(plan.remainingPages, 269);
  while (!plan.isPlanned) planNext(64);
  t.deepEqual(
    [...planned],
    [
      [0, 100],
      [1, 30],
      [2, 100],
    ],
  );
  t.is(plan.remainingPages, 70 + 99);
  // QEMU has sent one of them anew meanwhile.
  states[140] = pageState.plain;
  while (plan.hasPassedOver) plan.takePassedOver(7, send);
  t.is(plan.remainingPages, 0);
  const expected = [...Array(400).keys()].filter(
    (page) => (page >= 130 && page < 200 && page !== 140) || page >= 300,
  );
  t.deepEqual(
    sent.toSorted((a, b) => a - b),
    expected,
  );
  // There is nothing more to send from the back: what lies before was planned.
  t.false(plan.takeFromBack(64, 0, send));
});

test('of a source that is given up, cold pages are sent that lie behind hot ones of another', (t) => {
  const long = longList(40, 10, 2);
  // Hot pages of both sources, then cold ones of both.
  const sourceIndex = long.runs.sourceIndex.map((_, run) => Math.floor(run / 10) % 2);
  const runs = { ...long.runs, sourceIndex, firstColdRun: 20 };
  const list = decodePageList(encodePageList({ ...long, runs }));
  const plan = new PlanBuilder(list, [400, 400], memoryOf(new Uint8Array(400)));
  while (plan.listNext(65_536));
  plan.giveUp(0);
  const planned: number[] = [];
  while (!plan.isPlanned)
    for (const part of plan.planNext(64, () => undefined)) {
      t.is(part.sourceIndex, 1);
      for (let i = 0; i < part.runs.length; i += 3)
        for (let k = 0; k < (part.runs[i + 2] ?? 0); k++) planned.push((part.runs[i + 1] ?? 0) + k);
    }
  const sent: number[] = [];
  while (plan.hasPassedOver) plan.takePassedOver(7, (page) => void sent.push(page));
  const pagesOf = (source: number): number[] =>
    [...Array(400).keys()].filter((page) => Math.floor(page / 100) % 2 === source);
  t.deepEqual(planned, pagesOf(1));
  t.deepEqual(sent, pagesOf(0));
  t.is(plan.remainingPages, 0);
});

test('a share that is wanted first is planned and sent from both ends, and then the rest', (t) => {
  // Wherever a share ends: within a run, and between two.
  for (const [firstShare, end] of [
    [0.3, 120],
    [0.29875, 120],
    [0.3125, 125],
    [1, 400],
  ] as const) {
    const list = decodePageList(encodePageList(longList(40, 10)));
    const plan = new PlanBuilder(list, [400], memoryOf(new Uint8Array(400)), firstShare);
    t.is(plan.remainingPages, 400);
    while (plan.listNext(33));
    t.is(plan.remainingPages, 400);
    const order: (readonly [by: 'storage' | 'link', page: number])[] = [];
    for (let settled = 0; plan.remainingPages > 0; settled = plan.frontPosition) {
      plan.takeFromBack(3, settled, (page) => order.push(['link', page]));
      for (const { runs } of plan.planNext(7, () => undefined))
        for (let i = 0; i < runs.length; i += 3)
          for (let k = 0; k < (runs[i + 2] ?? 0); k++) order.push(['storage', (runs[i + 1] ?? 0) + k]);
    }
    t.true(plan.isPlanned);
    const pages = order.map(([, page]) => page);
    t.deepEqual(
      pages.toSorted((a, b) => a - b),
      [...Array(400).keys()],
    );
    t.true(pages.slice(0, end).every((page) => page < end));
    const firstOf = (by: string, from: number): number | undefined =>
      order.slice(from).find(([who]) => who === by)?.[1];
    t.deepEqual([firstOf('storage', 0), firstOf('link', 0)], [0, end - 1]);
    if (end < 400) t.deepEqual([firstOf('storage', end), firstOf('link', end)], [end, 399]);
  }
});
