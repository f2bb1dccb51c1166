import test from 'ava';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import { decodePageList, encodePageList } from '../list/page-list-codec.ts';
import { emptyRuns } from '../list/page-list.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import type { EngineEvent } from './engine-event.ts';
import { GuestPages } from './guest-pages.ts';
import { Schedule } from './schedule.ts';

const pageCount = 4096;
const pageNames = Array.from({ length: pageCount }, (_, pageIndex) => ({ blockIndex: 0, pageIndex }));

/** A guest all of whose pages are planned, and a link that has room for some. */
function planned() {
  const runs = emptyRuns(1);
  runs.count[0] = pageCount;
  const list = encodePageList({
    ...{ sources: [{ kind: 'disk', disk: 'vda' }], runs, pageCount, guestRam: [[0, pageCount - 1]] },
    timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
    ...{ leftOut: {}, failures: [] },
    server: {
      ...{ product: 'other', version: '', method: 'scan' },
      ...{ cachedPages: 0, dirtyPages: 0, excludedPages: 0 },
    },
  });
  const link = { freePages: 100, sent: [] as number[] };
  const events: EngineEvent['event'][] = [];
  const pages = new GuestPages(
    new Schedule('restore'),
    new PageHasher(randomHashKey()),
    {
      block: () => ({
        read: (page, count, into, offset) => {
          for (let i = 0; i < count; i++)
            into.fill(1 + ((page + i) % 255), offset + i * 4096, offset + (i + 1) * 4096);
        },
      }),
      map: () => [{ firstFrame: 0, pages: pageCount, blockIndex: 0, firstPage: 0 }],
      close: () => undefined,
    },
    ({ event }) => events.push(event),
    {
      canInject: true,
      get room() {
        return link.freePages / 100;
      },
      injectPage: (_block, page) => {
        link.sent.push(page);
        link.freePages -= 1;
      },
      injectZeroPage: () => undefined,
      sendPlan: () => undefined,
    },
  );
  pages.takeBlocks([{ index: 0, name: 'ram', pageCount, lengthBytes: pageCount * 4096 }], 'pc-q35-10.0');
  pages.takeList(decodePageList(list));
  pages.takeStorage({ storage: [{ usable: true, sizeBytes: pageCount * 4096 }] });
  // Enough to know the memory by.
  for (let page = 0; page < 256; page++) pages.pageRecord(0, page, Buffer.alloc(4096, 1 + (page % 255)), 0);
  while (pages.advance(true));
  return { pages, link, events };
}

test('of what the destination asks for, no more is sent than there is room for', (t) => {
  const { pages, link } = planned();
  pages.takeAsk(pageNames);
  pages.advance(true);
  t.is(link.sent.length, 100);
  link.freePages = 50;
  // Asked for twice, sent once.
  pages.takeAsk(pageNames);
  pages.advance(true);
  t.is(link.sent.length, 150);
  link.freePages = Infinity;
  pages.advance(true);
  t.is(link.sent.length, new Set(link.sent).size);
  t.is(link.sent.length, pages.plannedPages);
});

test('of what the VM waits for, no more is sent than a window beyond that', (t) => {
  const { pages, link } = planned();
  for (let times = 0; times < 3; times++) pages.request(0, 0, pageCount);
  pages.advance(true);
  t.true(link.sent.length >= 200 && link.sent.length <= 202, `${link.sent.length}`);
  link.freePages = Infinity;
  pages.advance(true);
  t.is(link.sent.length, new Set(link.sent).size);
  t.is(link.sent.length, pages.plannedPages);
});

/** The first pages of a disk: none of them could be used. */
const status = (failed: Partial<RestoreStatus>): RestoreStatus => ({
  ...{ receivedPages: 1000, pendingPages: 0, cursorPages: 1000, restoredPages: 0, cancelledPages: 0 },
  ...{ mismatchedPages: 0, unreadablePages: 0, storageBytes: 0, givenUpSources: [0], ...failed },
});

test('a disk is given up when a sixteenth of its pages differ and most do, not for one stretch; at once where it cannot be read', (t) => {
  const { pages, events } = planned();
  const isGivenUp = (): boolean => events.includes('storage-unusable');
  pages.takeStatus(status({ mismatchedPages: pageCount / 16 - 1 }), 0);
  t.false(isGivenUp());
  // Behind the stretch most are right.
  pages.takeStatus(status({ mismatchedPages: pageCount / 16, givenUpSources: [] }), 10);
  t.false(isGivenUp());
  pages.takeStatus(status({ mismatchedPages: pageCount / 16 }), 20);
  t.true(isGivenUp());
  const other = planned();
  other.pages.takeStatus(status({ unreadablePages: 2 }), 0);
  t.true(other.events.includes('storage-unusable'));
});
