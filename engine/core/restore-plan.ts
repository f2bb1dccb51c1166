/**
 * What the destination still has to restore. Pure: it gets parts of the plan, records that supersede pages, and results of
 * reads; it gives extents of storage to read, in storage order. Pages wait as bits, hashes only until they are read.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import { PageSet } from './page-set.ts';

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
  /** Place in the order of the plans, to tell how far reading has come. */
  readonly startPosition: number;
}

interface Waiting {
  readonly part: PlanPart;
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
  readonly #pending = new Map<number, PageSet>();
  readonly #asked = new Map<number, PageSet>();
  readonly #queue: Waiting[] = [];
  /** Extents being read, in order. */
  readonly #reading: { readonly startPosition: number; done: boolean }[] = [];
  #position = 0;
  #pendingPages = 0;

  /** Pages that are neither restored nor superseded, those asked for included. */
  get pendingPages(): number {
    return this.#pendingPages;
  }

  /** Pages of the plans, in their order, up to which everything was read, skipped or superseded. */
  get cursorPages(): number {
    return this.#reading[0]?.startPosition ?? this.#position;
  }

  isPending(blockIndex: number, page: number): boolean {
    return this.#pending.get(blockIndex)?.has(page) ?? false;
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
    if (this.#asked.get(blockIndex)?.delete(page) !== true) this.cancelledPages += 1;
  }

  /** The page was restored. */
  settle(blockIndex: number, page: number): void {
    if (this.#pending.get(blockIndex)?.delete(page) === true) this.#pendingPages -= 1;
  }

  /** The source is being asked for the page; it stays pending until its record comes. */
  ask(blockIndex: number, page: number): void {
    if (this.#asked.get(blockIndex)?.add(page) === true) this.askedPages += 1;
  }

  /** The next read of at most `maxBytes`, or undefined if nothing waits. Its end is told with `extentDone`. */
  nextExtent(maxBytes: number): Extent | undefined {
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

  /** All pages of the extent are settled or asked for. */
  extentDone(extent: Extent): void {
    const reading = this.#reading.find(({ startPosition }) => startPosition === extent.startPosition);
    if (reading !== undefined) reading.done = true;
    while (this.#reading[0]?.done === true) this.#reading.shift();
  }
}
