/**
 * The guest's pages as the source engine keeps track of them: which ones QEMU has sent, which are listed, what of the list
 * is planned, settled at the destination, or sent from guest memory after all.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { PackedPageList } from '../list/page-list-codec.ts';
import { innodbPages, nameOf, pageSizeBytes } from '../list/page-list.ts';
import type { EventSink } from './engine-event.ts';
import type { Schedule } from './schedule.ts';
import type { RamBlock } from '../stream/handler.ts';
import type { RestoreStatus, Storage } from '../wire/messages.ts';
import type { PageName } from '../wire/plan-codec.ts';
import { DirtyPass } from './dirty-pass.ts';
import { type MappedFrames, workOutMap } from './guest-memory-map.ts';
import { MappedMemory } from './mapped-memory.ts';
import type { GuestRam, GuestRamSource, PageHash, StreamWriter } from './outside.ts';
import { PageLedger, pageState } from './page-ledger.ts';
import { PageSet } from './page-set.ts';
import { PlanBuilder } from './plan-builder.ts';
import { RamCheck, type RamCheckLimits, ramCheckLimits } from './ram-check.ts';

/** What is asked of the schedule, so that a test can decide otherwise. */
export type PageDecisions = Pick<
  Schedule,
  | 'waitsForList'
  | 'listArrived'
  | 'noList'
  | 'status'
  | 'firstPassThrough'
  | 'passesListed'
  | 'dirtyPassMayGo'
  | 'dirtyPassThrough'
  | 'firstShare'
  | 'pagesToPlan'
  | 'listWalked'
  | 'sendsFromMemory'
>;

/** How much is done before other events get their turn. */
interface PageSlices {
  /** Entries of the list taken in, planned, and pages sent. */
  readonly listPages: number;
  readonly planPages: number;
  readonly takePages: number;
  readonly ramCheck: RamCheckLimits;
}

const pageSlices: PageSlices = {
  listPages: 65_536,
  planPages: 512,
  takePages: 64,
  ramCheck: ramCheckLimits,
};
/**
 * Without a withheld ack QEMU is stopped while so much of its first pass is left that it does not fit into the
 * downtime. Pages of zeros take nine bytes in its socket, so that it may be 22 000 pages ahead of what was read.
 */
const stallPages = 32_768;
const otherMemory = 'what was given as guest memory is not what QEMU sends';
/** RAM blocks that are told of: smaller ones are firmware's and devices'. */
const minTold = 4096;

/** Of a source's entries: where so many differ, before most were right, it is given up. */
const wrongShare = 1 / 16;

export class GuestPages {
  /** Pages that the destination was told to restore. */
  plannedPages = 0;
  /** Listed pages that QEMU's record was forwarded of, since the link was not found to be scarce. */
  pagesPassedOn = 0;
  /** Listed pages that were sent from guest memory. */
  pagesSentFromMemory = 0;
  /**
   * Pages that the target has thrown away and QEMU has not sent again. It may do so beside its stream, so that RAM's END says
   * nothing of them; it has sent them when it sends that.
   */
  awaitedPages = 0;
  readonly #schedule: PageDecisions;
  readonly #hash: PageHash;
  readonly #ramSource: GuestRamSource | undefined;
  readonly #onEvent: EventSink;
  readonly #output: StreamWriter;
  readonly #slices: PageSlices;
  #takePages: number;
  #ledgers: PageLedger[] = [];
  readonly #awaited: PageSet[] = [];
  #totalPages = 0;
  #firstPassThrough = false;
  readonly #dirtyPass = new DirtyPass();
  #machine = '';
  #blocks: readonly RamBlock[] = [];
  /** As QEMU says, where it was asked. */
  #map: readonly MappedFrames[] | undefined;
  /** By RAM block; none of blocks whose memory cannot be read, or is not what QEMU sends. */
  #readable = new Map<number, { readonly ram: GuestRam; readonly check: RamCheck }>();
  /** Why others cannot be read. */
  readonly #unreadable = new Map<number, string>();
  /** Blocks whose pages may be left out. */
  #memory: MappedMemory | undefined;
  #list: PackedPageList | undefined;
  #storage: Storage | undefined;
  #plan: PlanBuilder | undefined;
  /** Pages that the destination asked for, as `#memory` numbers them. One that is asked for again is no other. */
  readonly #asked = new Set<number>();
  /** The same of pages that the target's VM waits for. */
  readonly #requested = new Set<number>();
  /** Number of a page that the target was told to throw away here. */
  #thrownAway: number | undefined;
  /** Ends of the parts sent: sum of planned pages, and position in the list. */
  readonly #parts: { readonly plannedPages: number; readonly position: number }[] = [];
  /** Position in the list up to which the destination has read, or got newer pages. */
  #settledPosition = 0;
  readonly #page = Buffer.allocUnsafeSlow(pageSizeBytes);

  /** @param hash with the key of this migration, which nobody but the destination is told */
  constructor(
    schedule: PageDecisions,
    hash: PageHash,
    ramSource: GuestRamSource | undefined,
    onEvent: EventSink,
    output: StreamWriter,
    slices: PageSlices = pageSlices,
  ) {
    this.#schedule = schedule;
    this.#hash = hash;
    this.#slices = slices;
    this.#takePages = slices.takePages;
    this.#ramSource = ramSource;
    this.#onEvent = onEvent;
    this.#output = output;
  }

  get listedPages(): number {
    return this.#list?.pageCount ?? 0;
  }

  /** Whether QEMU's first pass has so little left that it could switch over. */
  get almostThrough(): boolean {
    return this.#totalPages > 0 && this.#unseenPages <= Math.min(stallPages, this.#totalPages / 8);
  }

  /** @param machine QEMU's name of it */
  takeBlocks(blocks: readonly RamBlock[], machine: string): void {
    this.#ledgers = blocks.map(({ pageCount }) => new PageLedger(pageCount, this.#hash));
    this.#totalPages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
    this.#blocks = blocks;
    this.#machine = machine;
    if (!this.#schedule.waitsForList || this.#ramSource === undefined) return;
    try {
      this.#map = this.#ramSource.map?.(blocks);
    } catch (error) {
      const { code, message } = error as CodedError<'source'>;
      this.giveUpList(code, message);
      return;
    }
    for (const block of blocks) this.#open(block, this.#ramSource);
    const largest = blocks.reduce((most, block) => (block.pageCount > most.pageCount ? block : most));
    if (this.#readable.size === 0) this.giveUpList('guest-ram', this.#unreadable.get(largest.index) ?? '');
  }

  #open(block: RamBlock, source: GuestRamSource): void {
    try {
      const ram = source.block(block, this.#blocks);
      this.#readable.set(block.index, { ram, check: new RamCheck(ram, this.#slices.ramCheck) });
    } catch (error) {
      this.#unreadable.set(block.index, (error as CodedError<'source'>).message);
    }
  }

  /** QEMU's record of a page with content; returns whether it stays in the stream. */
  pageRecord(blockIndex: number, page: number, buffer: Buffer, offset: number): boolean {
    this.#dirtyPass.record(blockIndex, page);
    this.#arrives(blockIndex, page);
    const ledger = this.#ledgers[blockIndex];
    const check = this.#readable.get(blockIndex)?.check;
    const mayBeWithheld = !this.#dirtyPass.firstPassOver;
    // Later passes are of the pages that the guest writes all the time: they say nothing of whose memory it is.
    if (mayBeWithheld) check?.record(page, buffer, offset);
    // What was planned on the strength of memory that may be another's is QEMU's until it is known to be right.
    const passes = this.#schedule.passesListed && ledger?.state(page) === pageState.listed;
    if (passes) this.pagesPassedOn += 1;
    if (check?.passed === true && !passes)
      return ledger?.pageRecord(page, buffer, offset, mayBeWithheld) ?? true;
    ledger?.passRecord(page);
    return true;
  }

  /** QEMU's record of a page that the target's VM waits for, beside its stream; it goes on. */
  urgentRecord(blockIndex: number, page: number): void {
    this.#arrives(blockIndex, page);
    this.#ledgers[blockIndex]?.passRecord(page);
  }

  /** QEMU's record of a page of zeros; it stays in the stream. */
  zeroRecord(blockIndex: number, page: number): void {
    this.#dirtyPass.record(blockIndex, page);
    this.#arrives(blockIndex, page);
    this.#ledgers[blockIndex]?.zeroRecord(page);
  }

  /**
   * QEMU's record of how a page differs from its record before; it stays in the stream.
   *
   * @throws CodedError 'source', 'withheld-base' if the target would have something else of the page
   */
  deltaRecord(blockIndex: number, page: number): void {
    this.#dirtyPass.record(blockIndex, page);
    this.#readable.get(blockIndex)?.check.comes(page);
    this.#ledgers[blockIndex]?.deltaRecord(page);
  }

  /** The target throws these pages away: QEMU sends them in their last version, when the VM has stopped. */
  discarded(blockIndex: number, page: number, count: number): void {
    const ledger = this.#ledgers[blockIndex];
    const check = this.#readable.get(blockIndex)?.check;
    const awaited = (this.#awaited[blockIndex] ??= new PageSet(this.#blocks[blockIndex]?.pageCount ?? 0));
    for (let i = page; i < page + count; i++) {
      ledger?.drop(i);
      check?.comes(i);
      if (awaited.add(i)) this.awaitedPages += 1;
    }
  }

  #arrives(blockIndex: number, page: number): void {
    this.#readable.get(blockIndex)?.check.comes(page);
    if (this.awaitedPages > 0 && this.#awaited[blockIndex]?.delete(page) === true) this.awaitedPages -= 1;
  }

  /** Whether a page can be thrown away and sent from here again. */
  get canThrowAway(): boolean {
    return this.#memory !== undefined;
  }

  /**
   * A page for the target to throw away, which is sent to it again as soon as there is a place for it. The guest must not run any
   * more, and QEMU have nothing left of it.
   */
  throwAway(): PageName | undefined {
    if (this.#memory === undefined) return undefined;
    this.#thrownAway = 0;
    this.#memory.drop(this.#thrownAway);
    return this.#memory.nameOf(this.#thrownAway);
  }

  /**
   * The target's VM waits for pages. Those that QEMU takes for sent, because their records were left out, come from here, and
   * with each the others of its InnoDB page.
   *
   * @returns whether all of them come from here; else QEMU is to be asked
   */
  request(blockIndex: number, page: number, count: number): boolean {
    const memory = this.#memory;
    if (memory === undefined) return false;
    const isOurs = (pageIndex: number): boolean => {
      const number = memory.numberOf({ blockIndex, pageIndex });
      return number >= 0 && memory.state(number) !== pageState.plain;
    };
    const blockEnd = this.#blocks[blockIndex]?.pageCount ?? 0;
    const end = Math.min(Math.ceil((page + count) / innodbPages) * innodbPages, blockEnd);
    for (let i = Math.floor(page / innodbPages) * innodbPages; i < end; i++) {
      if (isOurs(i)) this.#requested.add(memory.numberOf({ blockIndex, pageIndex: i }));
    }
    for (let i = page; i < Math.min(page + count, blockEnd); i++) if (!isOurs(i)) return false;
    return page + count <= blockEnd;
  }

  /** From now on the target's VM may wait for what is sent: little of the list is at a time, so that QEMU's own pages go before it. */
  expectFaults(): void {
    this.#takePages = innodbPages;
  }

  takeList(list: PackedPageList): void {
    this.#list = list;
  }

  /** What the destination has found of the list's sources. */
  takeStorage(storage: Storage): void {
    this.#storage = storage;
    storage.storage.forEach((found, index) => {
      const listed = this.#list?.sources[index];
      const source = listed === undefined ? '' : nameOf(listed);
      if (found.usable) this.#onEvent({ event: 'storage', source, size_bytes: found.sizeBytes });
      else this.#onEvent({ event: 'storage-unusable', source, reason: found.reason });
    });
  }

  /** How far the destination is. */
  takeStatus(status: RestoreStatus, nowMs: number): void {
    for (const index of status.givenUpSources) if (this.#isWrong(index, status)) this.#giveUpSource(index);
    this.#schedule.status(status, nowMs);
    if (this.#schedule.dirtyPassMayGo) this.#dirtyPass.begin(nowMs);
    let part = this.#parts[0];
    while (part !== undefined && part.plannedPages <= status.cursorPages) {
      this.#settledPosition = part.position;
      this.#parts.shift();
      part = this.#parts[0];
    }
  }

  /**
   * Whether a source of which most differed so far is to be given up. Storage is read from its front, so that one encrypted or stale file
   * there looks like a wrong disk for as long as it lasts; a wrong disk costs no more than reading that share of its pages in vain.
   */
  #isWrong(index: number, { mismatchedPages, unreadablePages }: RestoreStatus): boolean {
    if (unreadablePages > mismatchedPages) return true;
    return mismatchedPages + unreadablePages >= wrongShare * (this.#plan?.entriesOf(index) ?? 0);
  }

  #giveUpSource(index: number): void {
    const source = this.#list?.sources[index];
    if (source === undefined || this.#plan?.giveUp(index) !== true) return;
    const reason = `most of what was read of "${nameOf(source)}" is not what the VM has of it, or could not be read`;
    this.#onEvent({ event: 'storage-unusable', source: nameOf(source), reason });
  }

  /**
   * The destination asks for pages.
   *
   * @throws CodedError 'wire', 'malformed' if it asks for pages that cannot have been planned
   */
  takeAsk(pages: readonly PageName[]): void {
    for (const name of pages) {
      const page = this.#memory?.numberOf(name) ?? -1;
      if (page < 0) {
        const { blockIndex, pageIndex } = name;
        const what = `page ${pageIndex} of RAM block ${blockIndex} is asked for`;
        throw new CodedError('wire', 'malformed', what);
      }
      this.#asked.add(page);
    }
  }

  /** The migration goes on as one without storage. */
  giveUpList(code: string, reason: string): void {
    if (!this.#schedule.waitsForList) return;
    this.#onEvent({ event: 'no-list', code, reason });
    this.#schedule.noList();
  }

  /** To be called before each chunk of QEMU's stream. */
  chunkComes(nowMs: number): void {
    // A status comes only when storage has given something, and it may stand.
    if (this.#schedule.dirtyPassMayGo) this.#dirtyPass.begin(nowMs);
    this.#dirtyPass.at(nowMs);
  }

  /** A part of the RAM section has ended. */
  partEnds(): void {
    this.#dirtyPass.partEnds();
  }

  /**
   * To be called after each chunk of QEMU's stream.
   *
   * @throws CodedError 'source', 'guest-ram-differs' when pages were left out on the strength of the wrong memory
   */
  chunkTaken(): void {
    this.#sendThrownAway();
    for (const [blockIndex, { check }] of this.#readable) if (check.differs) this.#leave(blockIndex, check);
    if (this.#dirtyPass.through && this.#schedule.dirtyPassMayGo) {
      this.#schedule.dirtyPassThrough();
      this.#dirtyPass.end();
      this.#onEvent({ event: 'dirty-pass-done' });
    }
    if (this.#firstPassThrough || this.#ledgers.length === 0) return;
    if (this.#unseenPages === 0 || this.#ledgers.some(({ repeated }) => repeated)) {
      this.#firstPassThrough = true;
      this.#schedule.firstPassThrough();
      this.#onEvent({ event: 'first-pass-done' });
    }
    if (!this.#schedule.waitsForList) return;
    // Nothing was left out, so that it may come to the switchover however it does.
    if (this.#schedule.passesListed) {
      if (this.#firstPassThrough) this.#doWithoutList();
    } else if (this.#firstPassThrough || this.almostThrough) {
      this.#startPlan();
      this.giveUpList('too-late', "QEMU's first pass was through before the list was there");
    }
  }

  /** QEMU has sent all of RAM, but for what it never sends. */
  ramEnds(): void {
    if (this.#schedule.passesListed) this.#doWithoutList();
  }

  #doWithoutList(): void {
    this.giveUpList('not-needed', 'the link was not found to be scarce: all that QEMU sent went on');
  }

  /**
   * Takes the list in, answers, plans and sends, a slice of it.
   *
   * @param mayTake whether listed pages may be sent from memory now
   * @returns whether there is more to do at once
   */
  advance(qemuHeld: boolean, mayTake = true): boolean {
    this.#startPlan();
    if (this.#plan?.isListed === false) return this.#listSlice(this.#plan);
    if (!this.#output.canInject) return false;
    this.#answer();
    const plan = this.#plan;
    if (plan === undefined) return false;
    const hadPages = plan.remainingPages > 0;
    const plans = this.#planSlice(plan);
    const takes = mayTake && this.#takeSlice(plan, qemuHeld);
    if (hadPages && plan.remainingPages === 0) this.#onEvent({ event: 'planned' });
    return plans || takes;
  }

  /** To be called before the switchover. @throws Error if a page would be lost */
  checkComplete(): void {
    const withheldPages = this.#ledgers.reduce((sum, ledger) => sum + ledger.withheldPages, 0);
    if (withheldPages > 0)
      throw new Error(`${withheldPages} pages were left out and neither planned nor sent`);
  }

  /**
   * To be called when the VM has stopped and QEMU has sent, or has had thrown away, all that the guest has written.
   *
   * @throws CodedError 'source', 'guest-ram-differs' when pages were left out on the strength of the wrong memory
   */
  checkMemory(): void {
    if (this.#plan === undefined) return;
    for (const { check } of this.#readable.values())
      if (check.isStale) throw new CodedError('source', 'guest-ram-differs', otherMemory);
  }

  close(): void {
    this.#ramSource?.close();
  }

  /** What is read as the memory of a block is not what QEMU sends. */
  #leave(blockIndex: number, check: RamCheck): void {
    const reason = otherMemory;
    if (check.hasPassed && this.#plan !== undefined)
      throw new CodedError('source', 'guest-ram-differs', reason);
    this.#readable.delete(blockIndex);
    this.#unreadable.set(blockIndex, reason);
    this.#ledgers[blockIndex]?.forget();
    if (this.#readable.size === 0) this.giveUpList('guest-ram-differs', reason);
    if (this.#plan !== undefined) this.#warnOfBlock(blockIndex);
  }

  #warnOfBlock(blockIndex: number): void {
    const { name = '', lengthBytes = 0 } = this.#blocks[blockIndex] ?? {};
    const why = this.#unreadable.get(blockIndex) ?? '';
    const reason = `RAM block "${name}" of ${lengthBytes / 2 ** 20} MiB is left to QEMU: ${why}`;
    this.#onEvent({ event: 'warning', code: 'ram-block-left', reason });
  }

  /** The blocks that the guest's memory is in; undefined until their memory was compared with QEMU's. */
  #mapMemory(list: PackedPageList): MappedMemory | undefined {
    if (![...this.#readable.values()].some(({ check }) => check.passed)) return undefined;
    const map = this.#map ?? workOutMap(this.#machine, this.#blocks, list.guestRam);
    const blocks = [...new Set(map?.map(({ blockIndex }) => blockIndex))];
    const [first, ...others] = blocks.flatMap((blockIndex) => {
      const ram = this.#readable.get(blockIndex)?.ram;
      const ledger = this.#ledgers[blockIndex];
      return ram === undefined || ledger === undefined ? [] : [{ blockIndex, ledger, ram }];
    });
    if (map === undefined || first === undefined) {
      const names = this.#blocks.filter(({ pageCount }) => pageCount >= minTold).map(({ name }) => name);
      const reason = `which of QEMU's RAM blocks hold the guest's memory cannot be told (${names.join(', ')}): give --memory-map`;
      this.giveUpList(
        'memory-map',
        first === undefined && map !== undefined ? this.#whyNone(blocks) : reason,
      );
      return undefined;
    }
    for (const blockIndex of blocks) if (this.#unreadable.has(blockIndex)) this.#warnOfBlock(blockIndex);
    return new MappedMemory(map, [first, ...others]);
  }

  #whyNone(blocks: readonly number[]): string {
    return blocks.map((blockIndex) => this.#unreadable.get(blockIndex) ?? '').join('; ');
  }

  get #unseenPages(): number {
    return this.#totalPages - this.#ledgers.reduce((sum, { seenPages }) => sum + seenPages, 0);
  }

  /** Starts once the list, storage and a checked view of guest memory are all there. */
  #startPlan(): void {
    if (this.#plan !== undefined || !this.#schedule.waitsForList) return;
    if (this.#list === undefined || this.#storage === undefined) return;
    this.#memory = this.#mapMemory(this.#list);
    if (this.#memory === undefined) return;
    const { storage } = this.#storage;
    const blocks = this.#list.sources.map((_, index) => {
      const found = storage[index];
      return found?.usable === true ? Math.floor(found.sizeBytes / pageSizeBytes) : undefined;
    });
    this.#plan = new PlanBuilder(this.#list, blocks, this.#memory, this.#schedule.firstShare);
    this.#schedule.listArrived(this.#plan.remainingPages);
    if (this.#plan.isListed) this.#listed(this.#plan);
  }

  #listSlice(plan: PlanBuilder): boolean {
    if (!plan.listNext(this.#slices.listPages)) this.#listed(plan);
    return true;
  }

  #listed(plan: PlanBuilder): void {
    const { listedPages, alreadySentPages, refused } = plan.listed;
    this.#onEvent({
      event: 'accepted',
      pages_accepted: listedPages,
      pages_already_sent: alreadySentPages,
      refused_beyond_ram: refused.beyondRam,
      refused_duplicate_frame: refused.duplicateFrame,
      refused_unknown_source: refused.unknownSource,
      refused_beyond_storage: refused.beyondStorage,
    });
  }

  /** After the package: before it the target would throw it away once more. */
  #sendThrownAway(): void {
    const page = this.#thrownAway;
    if (page === undefined || this.#memory === undefined || !this.#output.canInject) return;
    this.#thrownAway = undefined;
    this.#memory.read(page, 1, this.#page, 0);
    this.#send(page, this.#page);
  }

  /**
   * Sends what was asked for, as far as there is room: however much is asked for waits here as numbers. A page that is plain again
   * was sent in a newer version, which is on its way.
   */
  #answer(): void {
    const memory = this.#memory;
    if (memory === undefined) return;
    const answer = (page: number): void => {
      memory.drop(page);
      memory.read(page, 1, this.#page, 0);
      this.#send(page, this.#page);
    };
    for (const page of this.#requested) {
      // What a VM waits for may run a window ahead of what is under way.
      if (this.#output.room < -1) return;
      this.#requested.delete(page);
      if (memory.state(page) !== pageState.plain) answer(page);
    }
    for (const page of this.#asked) {
      if (this.#output.room <= 0) return;
      this.#asked.delete(page);
      const state = memory.state(page);
      if (state === pageState.planned || state === pageState.plannedWithheld) answer(page);
    }
  }

  #planSlice(plan: PlanBuilder): boolean {
    const pages = Math.min(this.#schedule.pagesToPlan, this.#slices.planPages);
    // Plans are short; they may run a window ahead of what is under way.
    if (pages === 0 || plan.isPlanned || this.#output.room < -1) return false;
    const parts = plan.planNext(pages, (page) => {
      this.#sendZeros(page);
    });
    let planned = 0;
    for (const part of parts) {
      this.#output.sendPlan(part);
      planned += part.pageCount;
    }
    this.plannedPages += planned;
    if (planned > 0) this.#parts.push({ plannedPages: this.plannedPages, position: plan.frontPosition });
    this.#schedule.listWalked(planned, plan.remainingPages);
    return this.#schedule.pagesToPlan > 0 && !plan.isPlanned;
  }

  #takeSlice(plan: PlanBuilder, qemuHeld: boolean): boolean {
    const { hasPassedOver } = plan;
    if (!this.#schedule.sendsFromMemory(qemuHeld, this.#output.room, hasPassedOver)) return false;
    const send = (page: number, content: Buffer | undefined): void => {
      this.#send(page, content);
    };
    let more = true;
    if (hasPassedOver) plan.takePassedOver(this.#takePages, send);
    else more = plan.takeFromBack(this.#takePages, this.#settledPosition, send);
    this.#schedule.listWalked(0, plan.remainingPages);
    return more && this.#schedule.sendsFromMemory(qemuHeld, this.#output.room, plan.hasPassedOver);
  }

  /** Puts a page into the stream, in the same step in which it was read. @param page as `#memory` numbers it */
  #send(page: number, content: Buffer | undefined): void {
    if (content === undefined) this.#sendZeros(page);
    else {
      const { blockIndex, pageIndex } = this.#nameOf(page);
      this.#output.injectPage(blockIndex, pageIndex, content, 0);
    }
    this.pagesSentFromMemory += 1;
  }

  #sendZeros(page: number): void {
    const { blockIndex, pageIndex } = this.#nameOf(page);
    this.#output.injectZeroPage(blockIndex, pageIndex);
  }

  #nameOf(page: number): PageName {
    if (this.#memory === undefined) throw new Error('there is no memory to send from');
    return this.#memory.nameOf(page);
  }
}
