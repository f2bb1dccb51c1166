/**
 * Walks the page list from its front, hot pages first and in storage order, and makes parts of the plan; or from its back, and gives
 * pages that are sent from guest memory instead. The list is kept as it came: refused entries are those that the ledger never listed.
 * Where a share of it is wanted first, that is walked from both ends, and then the rest.
 */
import type { PackedRuns, RunCursor } from '../list/packed-runs.ts';
import type { PackedPageList } from '../list/page-list-codec.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { maxPlanPages, type PlanPart } from '../wire/plan-codec.ts';
import type { MappedMemory } from './mapped-memory.ts';
import { pageState } from './page-ledger.ts';

interface ListedPages {
  /** Pages that may come from storage. */
  readonly listedPages: number;
  /** Pages that QEMU had sent before the list was there. */
  readonly alreadySentPages: number;
  /** Why entries were refused, in pages. */
  readonly refused: {
    readonly beyondRam: number;
    readonly duplicateFrame: number;
    readonly unknownSource: number;
    readonly beyondStorage: number;
  };
}

/** A place in the list: page `offset` of a run. */
interface Place {
  readonly run: RunCursor;
  offset: number;
}

/** A position in the list, and its place, which is behind page `offset` of a run. */
interface ShareEnd {
  readonly position: number;
  run: number;
  offset: number;
}

/** Entries of one source, one behind the other, that were neither planned nor sent, from page `offset` of a run on. */
interface PassedOver {
  readonly sourceIndex: number;
  run: number;
  offset: number;
  pages: number;
}

/** Pages read from guest memory at once. */
const readPages = 256;
/** Entries of the list that one step walks over, where there is nothing to do with them. */
const walkedEntries = 4096;
const zeroPage = Buffer.alloc(pageSizeBytes);

export class PlanBuilder {
  readonly #listed = {
    listedPages: 0,
    alreadySentPages: 0,
    refused: { beyondRam: 0, duplicateFrame: 0, unknownSource: 0, beyondStorage: 0 },
  };
  /** Next run to be taken in, and its position. */
  #nextRun = 0;
  #nextPosition = 0;
  readonly #runs: PackedRuns;
  readonly #memory: MappedMemory;
  readonly #storageBlocks: readonly (number | undefined)[];
  /** Next page from the front. */
  readonly #front: Place;
  /** Page after the next one from the back. */
  readonly #back: Place;
  /** Where pages that were passed over are taken. */
  readonly #over: RunCursor;
  /** Position in the list of `#front` and `#back`. */
  #frontPosition = 0;
  #backPosition: number;
  /** Where the share ends that is wanted first; undefined when `#back` is, or was, at the end of the list. */
  #shareEnd: ShareEnd | undefined;
  readonly #pageCount: number;
  readonly #givenUp = new Set<number>();
  /** Entries of each source, of those taken in. */
  readonly #entriesOf: number[] = [];
  /** Behind `#front`: what of the list is of sources that were given up. */
  readonly #passedOver: PassedOver[] = [];
  #passedOverPages = 0;
  /** Position behind what was passed over last, which `#back` does not go below: before it everything was planned, or passed over. */
  #backEnds = 0;
  readonly #content = Buffer.allocUnsafeSlow(readPages * pageSizeBytes);
  readonly #zeroHash = new Uint32Array(2);
  readonly #hash = new Uint32Array(2);

  /**
   * @param storageBlocks whole blocks of each source; undefined where the destination cannot read it
   * @param memory that holds the guest's frames
   * @param firstShare of the list, more than 0 and up to 1: what is wanted before the rest
   */
  constructor(
    list: PackedPageList,
    storageBlocks: readonly (number | undefined)[],
    memory: MappedMemory,
    firstShare = 1,
  ) {
    this.#runs = list.runs;
    this.#memory = memory;
    this.#storageBlocks = storageBlocks;
    memory.hasher.hashPage(zeroPage, 0, this.#zeroHash, 0);
    this.#front = { run: list.runs.cursor(), offset: 0 };
    this.#back = { run: list.runs.cursor(), offset: 0 };
    this.#back.run.moveTo(list.runs.length);
    this.#pageCount = list.pageCount;
    const position = Math.ceil(firstShare * list.pageCount);
    if (position < list.pageCount) this.#shareEnd = { position, run: 0, offset: 0 };
    this.#backPosition = position;
    this.#over = list.runs.cursor();
  }

  /** Entries of the list that were not walked over yet, or passed over: an upper bound of the pages that are not planned or sent. */
  get remainingPages(): number {
    return this.#pagesBetween + this.#pagesBehindShare + this.#passedOverPages;
  }

  /** Whether no part of the plan comes any more. */
  get isPlanned(): boolean {
    return this.#pagesBetween + this.#pagesBehindShare === 0;
  }

  /** Whether there are pages that wait for `takePassedOver`. */
  get hasPassedOver(): boolean {
    return this.#passedOverPages > 0;
  }

  /** Entries between front and back. */
  get #pagesBetween(): number {
    return Math.max(0, this.#backPosition - this.#frontPosition);
  }

  get #pagesBehindShare(): number {
    return this.#shareEnd === undefined ? 0 : this.#pageCount - this.#shareEnd.position;
  }

  /** Entries of the list that are of a source, once it is taken in. */
  entriesOf(sourceIndex: number): number {
    return this.#entriesOf[sourceIndex] ?? 0;
  }

  /** No more pages are planned from the source. Returns whether that is new. */
  giveUp(sourceIndex: number): boolean {
    const isNew = !this.#givenUp.has(sourceIndex);
    this.#givenUp.add(sourceIndex);
    return isNew;
  }

  /** What has become of the entries taken in so far. */
  get listed(): ListedPages {
    return this.#listed;
  }

  /** Whether all entries were taken in: only then may pages be planned or taken. */
  get isListed(): boolean {
    return this.#nextRun === this.#runs.length;
  }

  /**
   * Takes entries of the list into the ledger: at least `minPages`, with those of the last run, since a long list in one step
   * would hold everything else up. What QEMU sends meanwhile counts as sent.
   *
   * @returns whether there are more
   */
  listNext(minPages: number): boolean {
    const cursor = this.#front.run;
    for (let pages = 0; pages < minPages && !this.isListed; pages += cursor.count) {
      cursor.moveTo(this.#nextRun);
      this.#nextRun += 1;
      this.#listRun(cursor);
      const end = this.#shareEnd;
      if (end !== undefined && this.#nextPosition < end.position) {
        end.run = cursor.run;
        end.offset = Math.min(cursor.count, end.position - this.#nextPosition);
      }
      this.#nextPosition += cursor.count;
    }
    if (this.isListed) {
      cursor.moveTo(0);
      if (this.#shareEnd !== undefined) {
        this.#back.run.moveTo(this.#shareEnd.run);
        this.#back.offset = this.#shareEnd.offset;
      }
    }
    return !this.isListed;
  }

  /** What was wanted first is planned or sent: the front goes on behind it, and the back to the end of the list. */
  #goOnBehindShare({ position, run, offset }: ShareEnd): void {
    this.#shareEnd = undefined;
    this.#front.run.moveTo(run);
    this.#front.offset = 0;
    this.#frontPosition = position - offset;
    this.#advance(offset);
    this.#back.run.moveTo(this.#runs.length);
    this.#back.offset = 0;
    this.#backPosition = this.#pageCount;
  }

  #listRun({ sourceIndex, storageBlock, guestFrame, count }: RunCursor): void {
    const listed = this.#listed;
    const blocks = this.#storageBlocks[sourceIndex];
    this.#entriesOf[sourceIndex] = this.entriesOf(sourceIndex) + count;
    if (blocks === undefined) {
      listed.refused.unknownSource += count;
      return;
    }
    for (let i = 0; i < count; i++) {
      const page = this.#memory.pageOf(guestFrame + i);
      if (page < 0) listed.refused.beyondRam += 1;
      else if (storageBlock + i >= blocks) listed.refused.beyondStorage += 1;
      else if (this.#memory.state(page) !== pageState.plain) listed.refused.duplicateFrame += 1;
      else if (this.#memory.list(page)) listed.listedPages += 1;
      else listed.alreadySentPages += 1;
    }
  }

  /**
   * Makes the next parts of the plan, one a RAM block, from at most `maxPages` entries of the list. Pages are read here, so that
   * the caller must put the parts into the stream at once.
   *
   * @param onZero called for a withheld page that holds zeros: it is to be sent as such
   * @returns none if none of these entries is to be planned; those of a source that was given up are for `takePassedOver`
   * @throws CodedError 'source', 'guest-ram'
   */
  planNext(maxPages: number, onZero: (page: number) => void): readonly PlanPart[] {
    if (this.#shareEnd !== undefined && this.#pagesBetween === 0) this.#goOnBehindShare(this.#shareEnd);
    const { run } = this.#front;
    if (!this.isPlanned && this.#givenUp.has(run.sourceIndex)) {
      this.#passOver();
      return [];
    }
    const limit = Math.min(maxPages, this.#pagesBetween, maxPlanPages);
    const source = run.sourceIndex;
    const runs: number[] = [];
    const hashes = new Uint32Array(2 * limit);
    let planned = 0;
    let walked = 0;
    while (walked < limit && run.sourceIndex === source) {
      const { offset } = this.#front;
      const pages = Math.min(run.count - offset, limit - walked, readPages);
      const block = run.storageBlock + offset;
      // The same entries are left alone as when the list was taken in: their pages may be listed elsewhere too.
      const usable = Math.min(pages, Math.max(0, (this.#storageBlocks[source] ?? 0) - block));
      planned += this.#planRun(block, run.guestFrame + offset, usable, runs, hashes, planned, onZero);
      walked += pages;
      this.#advance(pages);
    }
    return this.#partsOf(source, runs, hashes);
  }

  /** The front goes on towards the next source. */
  #passOver(): void {
    const { run } = this.#front;
    const { sourceIndex } = run;
    let over = this.#passedOver.at(-1);
    // A source's cold pages may lie behind another's hot ones.
    if (over?.sourceIndex !== sourceIndex || this.#backEnds !== this.#frontPosition) {
      over = { sourceIndex, run: run.run, offset: this.#front.offset, pages: 0 };
      this.#passedOver.push(over);
    }
    for (let runs = 0; runs < walkedEntries && run.sourceIndex === sourceIndex; runs++) {
      const pages = Math.min(run.count - this.#front.offset, this.#pagesBetween);
      if (pages === 0) break;
      this.#advance(pages);
      over.pages += pages;
      this.#passedOverPages += pages;
    }
    this.#backEnds = this.#frontPosition;
  }

  /** Runs of pages as numbered here, which are of one block each, become parts that name pages as the stream does. */
  #partsOf(sourceIndex: number, runs: readonly number[], hashes: Uint32Array): readonly PlanPart[] {
    const parts = new Map<number, { readonly runs: number[]; readonly hashes: number[] }>();
    let at = 0;
    for (let i = 0; i < runs.length; i += 3) {
      const [storageBlock = 0, page = 0, count = 0] = runs.slice(i, i + 3);
      const { blockIndex, pageIndex } = this.#memory.nameOf(page);
      const part = parts.get(blockIndex) ?? { runs: [], hashes: [] };
      parts.set(blockIndex, part);
      part.runs.push(storageBlock, pageIndex, count);
      for (const end = at + 2 * count; at < end; at++) part.hashes.push(hashes[at] ?? 0);
    }
    return Array.from(parts, ([blockIndex, part]) => ({
      blockIndex,
      sourceIndex,
      runs: Uint32Array.from(part.runs),
      hashes: Uint32Array.from(part.hashes),
      pageCount: part.hashes.length / 2,
    }));
  }

  /** Plans those of `pages` entries that are listed or withheld; returns how many. */
  #planRun(
    block: number,
    frame: number,
    pages: number,
    runs: number[],
    hashes: Uint32Array,
    planned: number,
    onZero: (page: number) => void,
  ): number {
    const memory = this.#memory;
    let added = 0;
    for (let i = 0; i < pages;) {
      const page = this.#openPage(frame + i);
      let length = page < 0 ? 0 : 1;
      while (length > 0 && i + length < pages && this.#openPage(frame + i + length) === page + length)
        length += 1;
      if (length > 0) this.#memory.read(page, length, this.#content, 0);
      for (let k = 0; k < length; k++) {
        const index = 2 * (planned + added);
        memory.hasher.hashPage(this.#content, k * pageSizeBytes, hashes, index);
        const low = hashes[index] ?? 0;
        const high = hashes[index + 1] ?? 0;
        if (low === this.#zeroHash[0] && high === this.#zeroHash[1]) {
          // QEMU sends zeros in nine bytes; storage would cost a whole block.
          if (memory.state(page + k) === pageState.withheld) onZero(page + k);
          memory.drop(page + k);
        } else {
          memory.plan(page + k, low, high);
          appendToRuns(runs, block + i + k, page + k);
          added += 1;
        }
      }
      i += Math.max(length, 1);
    }
    return added;
  }

  /** The page of a frame if it is listed or withheld, else -1. */
  #openPage(frame: number): number {
    const page = this.#memory.pageOf(frame);
    if (page < 0) return -1;
    const state = this.#memory.state(page);
    return state === pageState.listed || state === pageState.withheld ? page : -1;
  }

  /**
   * Takes up to `maxPages` pages that are not settled, from the back of the list, for sending them from guest memory. They
   * are read here, so that the caller must put each into the stream within `onPage`. No more than `walkedEntries` entries are passed
   * over: most may be settled, and nothing else happens meanwhile.
   *
   * @param downTo entries of the list before this position are left alone
   * @param onPage gets the page's content, or undefined for zeros; the buffer is valid only during the call
   * @returns whether there are more
   * @throws CodedError 'source', 'guest-ram'
   */
  takeFromBack(
    maxPages: number,
    downTo: number,
    onPage: (page: number, content: Buffer | undefined) => void,
  ): boolean {
    const memory = this.#memory;
    const end = Math.max(downTo, this.#backEnds);
    const walkTo = Math.max(end, this.#backPosition - walkedEntries);
    let taken = 0;
    while (taken < maxPages && this.#backPosition > walkTo) {
      const pages = this.#retreat(Math.min(maxPages - taken, this.#backPosition - walkTo));
      const first = memory.pageOf(this.#back.run.guestFrame + this.#back.offset);
      if (first < 0 || this.#arePlain(first, pages)) continue;
      memory.read(first, pages, this.#content, 0);
      for (let i = pages - 1; i >= 0; i--) {
        if (memory.state(first + i) === pageState.plain) continue;
        this.#give(first + i, i, onPage);
        taken += 1;
      }
    }
    return this.#backPosition > end;
  }

  /** Takes up to `maxPages` pages of sources that were given up, as `takeFromBack` does. */
  takePassedOver(maxPages: number, onPage: (page: number, content: Buffer | undefined) => void): void {
    const run = this.#over;
    let taken = 0;
    let walked = 0;
    for (let over = this.#passedOver[0]; over !== undefined; over = this.#passedOver[0]) {
      if (taken >= maxPages || walked >= walkedEntries) return;
      run.moveTo(over.run);
      const frame = run.guestFrame + over.offset;
      const limit = Math.min(run.count - over.offset, over.pages, readPages, maxPages - taken);
      const first = this.#openPage(frame);
      let pages = 1;
      // Pages that follow each other in memory, or of which none is to be sent.
      while (pages < limit && this.#openPage(frame + pages) === (first < 0 ? first : first + pages))
        pages += 1;
      if (first >= 0) {
        this.#memory.read(first, pages, this.#content, 0);
        for (let i = 0; i < pages; i++) this.#give(first + i, i, onPage);
        taken += pages;
      }
      walked += pages;
      over.offset += pages;
      over.pages -= pages;
      this.#passedOverPages -= pages;
      if (over.offset === run.count) {
        over.run += 1;
        over.offset = 0;
      }
      if (over.pages === 0) this.#passedOver.shift();
    }
  }

  /** A page that was read as the one with that index in `#content` is sent. */
  #give(page: number, index: number, onPage: (page: number, content: Buffer | undefined) => void): void {
    const memory = this.#memory;
    const state = memory.state(page);
    const content = this.#content.subarray(index * pageSizeBytes, (index + 1) * pageSizeBytes);
    if (state === pageState.listed || state === pageState.planned) {
      // QEMU's first record of it is still to come, and is left out if it says the same.
      memory.hasher.hashPage(content, 0, this.#hash, 0);
      memory.plan(page, this.#hash[0] ?? 0, this.#hash[1] ?? 0);
    } else {
      memory.drop(page);
    }
    onPage(page, content.equals(zeroPage) ? undefined : content);
  }

  #arePlain(first: number, pages: number): boolean {
    for (let page = first; page < first + pages; page++)
      if (this.#memory.state(page) !== pageState.plain) return false;
    return true;
  }

  /** Position up to which the list was planned. */
  get frontPosition(): number {
    return this.#frontPosition;
  }

  get backPosition(): number {
    return this.#backPosition;
  }

  #advance(pages: number): void {
    const { run } = this.#front;
    this.#frontPosition += pages;
    this.#front.offset += pages;
    if (this.#front.offset === run.count) {
      run.moveTo(run.run + 1);
      this.#front.offset = 0;
    }
  }

  /** Goes back by at most `limit` entries, whose pages follow each other in memory; returns by how many. */
  #retreat(limit: number): number {
    const { run } = this.#back;
    while (this.#back.offset === 0) {
      run.moveTo(run.run - 1);
      this.#back.offset = run.count;
    }
    const end = run.guestFrame + this.#back.offset;
    const last = this.#memory.pageOf(end - 1);
    const most = Math.min(limit, this.#back.offset, readPages);
    let pages = 1;
    while (pages < most && last >= 0 && this.#memory.pageOf(end - 1 - pages) === last - pages) pages += 1;
    this.#back.offset -= pages;
    this.#backPosition -= pages;
    return pages;
  }
}

/** Adds a page to triples of storage block, page, count. */
export function appendToRuns(runs: number[], block: number, page: number): void {
  const last = runs.length - 3;
  const count = runs[last + 2] ?? 0;
  if (last >= 0 && (runs[last] ?? 0) + count === block && (runs[last + 1] ?? 0) + count === page) {
    runs[last + 2] = count + 1;
  } else {
    runs.push(block, page, 1);
  }
}
