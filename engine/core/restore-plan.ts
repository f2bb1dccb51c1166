/**
 * What the destination still has to restore. Pure: it gets parts of the plan, records that supersede pages, and results of
 * reads; it gives extents of storage to read, in the plan's order. Pages wait as bits, hashes only until they are read.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { innodbPages, pageSizeBytes } from '../list/page-list.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import type { PageName, PlanPart } from '../wire/plan-codec.ts';
import type { PageHash } from './outside.ts';
import { PageSet } from './page-set.ts';
import { appendToRuns } from './plan-builder.ts';

const outOfOrder = -1;
const noPages = new PageSet(0);
/** A source that gives other content, or none, for most of so many pages is another disk, or broken. */
const judgedPages = 4096;
/** Blocks between two wanted ones that are read along, because a request of its own would cost more. */
const gapBlocks = 4;

/** One read. `pages`, `slots` and `hashes` are in step. */
export interface Extent {
  readonly blockIndex: number;
  readonly sourceIndex: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly pageCount: number;
  readonly pages: Uint32Array;
  /** Where in the read each page lies, in pages. */
  readonly slots: Uint32Array;
  /** Low and high half of each hash. */
  readonly hashes: Uint32Array;
  /** Place in the order of the plans, to tell how far reading has come; `outOfOrder` where somebody waits for it. */
  readonly startPosition: number;
}

/** Reads of storage: each large enough for a spinning disk or an NFS server to stream. */
export const storageReads = {
  bytes: 1024 * 1024,
  /** Enough to keep a link busy over a round trip. */
  atOnce: 6,
  /** The same where the target's VM waits for what is behind them. */
  waitedFor: { bytes: 64 * 1024, atOnce: 2 },
  /** Reads that run, or wait to be handed over; beyond it reading stops. */
  buffers: 12,
} as const;

/** Where pages go that storage has given, or has not. */
export interface RestoredPages {
  /** A page of which the plan's hash is right; the buffer is valid only during the call. */
  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void;
  /** The pages must be asked of the source: storage has other content, or cannot be read. */
  ask(pages: readonly PageName[]): void;
}

interface Waiting {
  readonly part: PlanPart;
  /** Its runs in the order of their pages, once somebody has looked for one. */
  byPage?: Uint32Array;
  /** The run being given out, its first page not given out, and that page's hash. */
  run: number;
  pageInRun: number;
  page: number;
}

export class RestorePlan {
  receivedPages = 0;
  cancelledPages = 0;
  /** Pages that storage did not give and the source was asked for. */
  askedPages = 0;
  restoredPages = 0;
  /** Storage had other content. */
  mismatchedPages = 0;
  unreadablePages = 0;
  /** Sources most of whose pages, so far, were not as planned: whether no more are planned from them is the source engine's to say. */
  givenUpSources: readonly number[] = [];
  readonly #judgedPages: number;
  /** What each source has given. */
  readonly #given = new Map<number, { restoredPages: number; failedPages: number }>();
  readonly #pending = new Map<number, PageSet>();
  readonly #asked = new Map<number, PageSet>();
  readonly #hash = new Uint32Array(2);
  readonly #queue: Waiting[] = [];
  /** Extents that somebody waits for, and their pages by RAM block, with those that were given out. */
  readonly #wanted: Extent[] = [];
  readonly #wantedPages = new Map<number, Set<number>>();
  /** Extents being read, in order. */
  readonly #reading: { readonly startPosition: number; done: boolean }[] = [];
  /** Extents that were given out and whose end was not told, those that somebody waits for among them. */
  readonly #underWay = new Set<Extent>();
  #position = 0;
  #pendingPages = 0;
  #askedPendingPages = 0;

  /** @param judged pages of a source after which it may be given up */
  constructor(judged = judgedPages) {
    this.#judgedPages = judged;
  }

  /** Pages that are neither restored nor superseded, those asked for included. */
  get pendingPages(): number {
    return this.#pendingPages;
  }

  /** Pages that are pending and were not asked for: storage is still to give them. */
  get openPages(): number {
    return this.#pendingPages - this.#askedPendingPages;
  }

  /** Whether storage is still to give each page of the block that is not in `received`. */
  covers(blockIndex: number, received: PageSet): boolean {
    return received.lacksOnly(
      this.#pending.get(blockIndex) ?? noPages,
      this.#asked.get(blockIndex) ?? noPages,
    );
  }

  /** Pages of the plans, in their order, up to which everything was read, skipped or superseded. */
  get cursorPages(): number {
    return this.#reading[0]?.startPosition ?? this.#position;
  }

  /** For the source. */
  get counts(): Omit<RestoreStatus, 'storageBytes'> {
    return {
      receivedPages: this.receivedPages,
      pendingPages: this.pendingPages,
      cursorPages: this.cursorPages,
      restoredPages: this.restoredPages,
      mismatchedPages: this.mismatchedPages,
      unreadablePages: this.unreadablePages,
      cancelledPages: this.cancelledPages,
      givenUpSources: this.givenUpSources,
    };
  }

  /**
   * Takes a part of the plan.
   *
   * @param blockPages pages of the part's RAM block
   * @param storageBlocks whole blocks of the part's source
   * @throws CodedError 'wire', 'malformed' if it names a page or a block that is not there, or a page that is pending already
   */
  add(part: PlanPart, blockPages: number, storageBlocks: number): void {
    let pending = this.#pending.get(part.blockIndex);
    if (pending === undefined) {
      pending = new PageSet(blockPages);
      this.#pending.set(part.blockIndex, pending);
      this.#asked.set(part.blockIndex, new PageSet(blockPages));
    }
    for (let i = 0; i < part.runs.length; i += 3) {
      const storageBlock = part.runs[i] ?? 0;
      const page = part.runs[i + 1] ?? 0;
      const count = part.runs[i + 2] ?? 0;
      if (page + count > blockPages || storageBlock + count > storageBlocks) {
        throw new CodedError('wire', 'malformed', 'the plan names a page that is not there');
      }
      for (let k = 0; k < count; k++) {
        if (!pending.add(page + k))
          throw new CodedError('wire', 'malformed', `the plan names page ${page + k} twice`);
      }
    }
    this.#queue.push({ part, run: 0, pageInRun: 0, page: 0 });
    this.receivedPages += part.pageCount;
    this.#pendingPages += part.pageCount;
  }

  /** A record of the page is in the stream: it is newer than what storage has, or it is what was asked for. */
  supersede(blockIndex: number, page: number): void {
    if (this.#pendingPages === 0 || this.#pending.get(blockIndex)?.delete(page) !== true) return;
    this.#pendingPages -= 1;
    if (this.#asked.get(blockIndex)?.delete(page) === true) this.#askedPendingPages -= 1;
    else this.cancelledPages += 1;
  }

  /** Whether the page is neither restored nor superseded. */
  isPending(blockIndex: number, page: number): boolean {
    return this.#pending.get(blockIndex)?.has(page) === true;
  }

  /** Somebody waits for a page: it is read before all others, with what is planned of its InnoDB page. */
  want(blockIndex: number, page: number): void {
    if (!this.isPending(blockIndex, page) || this.#wantedPages.get(blockIndex)?.has(page) === true) return;
    for (const waiting of this.#queue) {
      if (waiting.part.blockIndex !== blockIndex) continue;
      const run = runOf(waiting, page);
      if (run === undefined) continue;
      const extent = this.#extentAround(waiting.part, run, page);
      const wanted = this.#wantedPages.get(blockIndex) ?? new Set();
      this.#wantedPages.set(blockIndex, wanted);
      for (const one of extent.pages) wanted.add(one);
      this.#wanted.push(extent);
      return;
    }
  }

  #extentAround({ blockIndex, sourceIndex, runs, hashes }: PlanPart, run: number, page: number): Extent {
    const [storageBlock = 0, firstPage = 0, count = 0] = runs.subarray(run, run + 3);
    let firstHash = 0;
    for (let i = 0; i < run; i += 3) firstHash += runs[i + 2] ?? 0;
    const from = Math.max(firstPage, Math.floor(page / innodbPages) * innodbPages);
    const end = Math.min(firstPage + count, (Math.floor(page / innodbPages) + 1) * innodbPages);
    const pages = Array.from({ length: end - from }, (_, i) => from + i).filter((one) =>
      this.isPending(blockIndex, one),
    );
    const hashAt = (one: number): number => 2 * (firstHash + one - firstPage);
    return {
      ...{ blockIndex, sourceIndex },
      offsetBytes: (storageBlock + from - firstPage) * pageSizeBytes,
      lengthBytes: (end - from) * pageSizeBytes,
      pageCount: pages.length,
      pages: Uint32Array.from(pages),
      slots: Uint32Array.from(pages, (one) => one - from),
      hashes: Uint32Array.from(
        pages.flatMap((one) => [hashes[hashAt(one)] ?? 0, hashes[hashAt(one) + 1] ?? 0]),
      ),
      startPosition: outOfOrder,
    };
  }

  /**
   * What storage is still to give, as it is now, whatever is restored or superseded later: parts of the plan, each made when it is
   * asked for, with each page once.
   */
  open(): Iterable<PlanPart> {
    const parts = [...Array.from(this.#underWay, asPart), ...this.#queue.map(({ part }) => part)];
    const pending = new Map(Array.from(this.#pending, ([block, pages]) => [block, pages.copy()]));
    return (function* (): Generator<PlanPart> {
      for (const part of parts) {
        const open = onlyPages(part, (page) => pending.get(part.blockIndex)?.delete(page) === true);
        if (open !== undefined) yield open;
      }
    })();
  }

  /** The next read of at most `maxBytes`, or undefined if nothing waits. Its end is told with `finish`. */
  nextExtent(maxBytes: number): Extent | undefined {
    const extent = this.#nextExtent(maxBytes);
    if (extent !== undefined) this.#underWay.add(extent);
    return extent;
  }

  #nextExtent(maxBytes: number): Extent | undefined {
    const wanted = this.#wanted.shift();
    if (wanted !== undefined) return wanted;
    for (let waiting = this.#queue[0]; waiting !== undefined; waiting = this.#queue[0]) {
      const extent = this.#takeExtent(waiting, Math.floor(maxBytes / pageSizeBytes));
      if (waiting.run === waiting.part.runs.length) this.#queue.shift();
      if (extent.pageCount === 0) continue;
      this.#reading.push({ startPosition: extent.startPosition, done: false });
      return extent;
    }
    return undefined;
  }

  /** Gives out pending pages that lie close together; those that are not pending any more are passed over. */
  #takeExtent(waiting: Waiting, maxBlocks: number): Extent {
    const { part } = waiting;
    const pending = this.#pending.get(part.blockIndex);
    const startPosition = this.#position;
    const pages: number[] = [];
    const slots: number[] = [];
    const hashes: number[] = [];
    let first = -1;
    let blocks = 0;
    while (waiting.run < part.runs.length) {
      const storageBlock = (part.runs[waiting.run] ?? 0) + waiting.pageInRun;
      const page = (part.runs[waiting.run + 1] ?? 0) + waiting.pageInRun;
      if (pending?.has(page) === true) {
        if (first < 0) first = storageBlock;
        const slot = storageBlock - first;
        if (slot < 0 || slot > blocks + gapBlocks || slot >= maxBlocks) break;
        pages.push(page);
        slots.push(slot);
        hashes.push(part.hashes[2 * waiting.page] ?? 0, part.hashes[2 * waiting.page + 1] ?? 0);
        // Two pages of memory may be copies of one block.
        blocks = Math.max(blocks, slot + 1);
      }
      this.#position += 1;
      waiting.page += 1;
      waiting.pageInRun += 1;
      if (waiting.pageInRun === part.runs[waiting.run + 2]) {
        waiting.run += 3;
        waiting.pageInRun = 0;
      }
    }
    return {
      blockIndex: part.blockIndex,
      sourceIndex: part.sourceIndex,
      offsetBytes: Math.max(first, 0) * pageSizeBytes,
      lengthBytes: blocks * pageSizeBytes,
      pageCount: pages.length,
      pages: Uint32Array.from(pages),
      slots: Uint32Array.from(slots),
      hashes: Uint32Array.from(hashes),
      startPosition,
    };
  }

  /**
   * The extent was read. Each of its pages is restored if its content is what the plan says, else it stays pending until its
   * record comes from the source, which is to be asked for it. Pages that a record has superseded meanwhile are left alone.
   *
   * @param content what was read; undefined if it could not be
   * @param hash with the key of the plans
   */
  finish(extent: Extent, content: Buffer | undefined, hash: PageHash, to: RestoredPages): void {
    const { blockIndex, pages, slots, hashes } = extent;
    const pending = this.#pending.get(blockIndex);
    const asked: PageName[] = [];
    const restoredBefore = this.restoredPages;
    for (let i = 0; i < extent.pageCount; i++) {
      const page = pages[i] ?? 0;
      if (pending?.has(page) !== true) continue;
      if (content !== undefined) {
        const offset = (slots[i] ?? 0) * pageSizeBytes;
        hash.hashPage(content, offset, this.#hash, 0);
        if (this.#hash[0] === hashes[2 * i] && this.#hash[1] === hashes[2 * i + 1]) {
          to.take(blockIndex, page, content, offset);
          pending.delete(page);
          if (this.#asked.get(blockIndex)?.delete(page) === true) this.#askedPendingPages -= 1;
          this.#pendingPages -= 1;
          this.restoredPages += 1;
          continue;
        }
      }
      if (content === undefined) this.unreadablePages += 1;
      else this.mismatchedPages += 1;
      if (this.#asked.get(blockIndex)?.add(page) === true) {
        this.askedPages += 1;
        this.#askedPendingPages += 1;
      }
      asked.push({ blockIndex, pageIndex: page });
    }
    if (asked.length > 0) to.ask(asked);
    this.#underWay.delete(extent);
    this.#judge(extent.sourceIndex, this.restoredPages - restoredBefore, asked.length);
    this.#extentDone(extent);
  }

  #judge(sourceIndex: number, restoredPages: number, failedPages: number): void {
    const given = this.#given.get(sourceIndex) ?? { restoredPages: 0, failedPages: 0 };
    this.#given.set(sourceIndex, given);
    given.restoredPages += restoredPages;
    given.failedPages += failedPages;
    const isBad = given.failedPages > this.#judgedPages / 2 && given.failedPages > given.restoredPages;
    // A new one only when there is something new: that is how a status is seen to be the one before.
    if (isBad === this.givenUpSources.includes(sourceIndex)) return;
    this.givenUpSources = isBad
      ? [...this.givenUpSources, sourceIndex]
      : this.givenUpSources.filter((one) => one !== sourceIndex);
  }

  #extentDone(extent: Extent): void {
    const reading = this.#reading.find(({ startPosition }) => startPosition === extent.startPosition);
    if (reading !== undefined) reading.done = true;
    while (this.#reading[0]?.done === true) this.#reading.shift();
  }
}

/** Those pages of a part of the plan that are taken; undefined where there is none. Pure but for what `takes` does. */
export function onlyPages(
  { blockIndex, sourceIndex, runs, hashes }: PlanPart,
  takes: (page: number) => boolean,
): PlanPart | undefined {
  const taken: number[] = [];
  const itsHashes: number[] = [];
  let at = 0;
  for (let i = 0; i < runs.length; i += 3) {
    const [storageBlock = 0, page = 0, count = 0] = runs.subarray(i, i + 3);
    for (let k = 0; k < count; k += 1, at += 2) {
      if (!takes(page + k)) continue;
      appendToRuns(taken, storageBlock + k, page + k);
      itsHashes.push(hashes[at] ?? 0, hashes[at + 1] ?? 0);
    }
  }
  if (taken.length === 0) return undefined;
  return {
    ...{ blockIndex, sourceIndex },
    runs: Uint32Array.from(taken),
    hashes: Uint32Array.from(itsHashes),
    pageCount: itsHashes.length / 2,
  };
}

function asPart({ blockIndex, sourceIndex, offsetBytes, pages, slots, hashes, pageCount }: Extent): PlanPart {
  const runs: number[] = [];
  pages.forEach((page, i) => {
    appendToRuns(runs, offsetBytes / pageSizeBytes + (slots[i] ?? 0), page);
  });
  return { blockIndex, sourceIndex, runs: Uint32Array.from(runs), hashes, pageCount };
}

/** Where the run with that page begins; undefined if the part has none. */
function runOf(waiting: Waiting, page: number): number | undefined {
  const { runs } = waiting.part;
  const pageAt = (run: number): number => runs[run + 1] ?? 0;
  waiting.byPage ??= Uint32Array.from({ length: runs.length / 3 }, (_, i) => 3 * i).sort(
    (a, b) => pageAt(a) - pageAt(b),
  );
  const { byPage } = waiting;
  let low = 0;
  let high = byPage.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (pageAt(byPage[middle] ?? 0) <= page) low = middle + 1;
    else high = middle;
  }
  const run = byPage[low - 1];
  return run !== undefined && page < pageAt(run) + (runs[run + 2] ?? 0) ? run : undefined;
}
