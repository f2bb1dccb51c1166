/**
 * A model of a migration's order (docs/engine-design.md, Order): a guest that writes, a QEMU with a dirty log, a socket between QEMU and the
 * source engine, one between the engines, storage that is read out of order, and a list that may lie.
 */
import fc from 'fast-check';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import { decodePageList, encodePageList, type PackedPageList } from '../list/page-list-codec.ts';
import type { PageList } from '../list/page-list.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import type { RamBlock } from '../stream/handler.ts';
import type { PageName, PlanPart } from '../wire/plan-codec.ts';
import type { EngineEvent } from './engine-event.ts';
import { GuestPages, type PageDecisions } from './guest-pages.ts';
import type { MappedFrames } from './guest-memory-map.ts';
import type { GuestRam } from './outside.ts';
import { PageSet } from './page-set.ts';
import { type Extent, RestorePlan } from './restore-plan.ts';
import { Schedule, type Strategy } from './schedule.ts';
import { SwitchoverHold } from './switchover-hold.ts';

const hashKey = randomHashKey();
/** Memory is two RAM blocks, of which the guest has the second one first. */
const blocks: readonly RamBlock[] = [10, 14].map((pages, index) => ({
  ...{ index, name: `ram${index}`, pageCount: pages, lengthBytes: pages * 4096 },
}));
const firstPages = 10;
const pageCount = 24;
const map: readonly MappedFrames[] = [
  { firstFrame: 0, pages: 14, blockIndex: 1, firstPage: 0 },
  { firstFrame: 14, pages: 10, blockIndex: 0, firstPage: 0 },
];
/** Pages are numbered through here, block after block. */
const nameOf = (page: number): PageName =>
  page < firstPages ? { blockIndex: 0, pageIndex: page } : { blockIndex: 1, pageIndex: page - firstPages };
const numberOf = (blockIndex: number, pageIndex: number): number =>
  blockIndex === 0 ? pageIndex : firstPages + pageIndex;
const numberOfFrame = (frame: number): number => (frame < 14 ? firstPages + frame : frame - 14);
/** Of two disks, each of which has half of them. */
const storageBlocks = 40;
const diskBlocks = storageBlocks / 2;
/** A disk is given up when most of more than half as many pages were not there. */
const judgedPages = 4;

/** Pages with content `id`; 0 is a page of zeros. */
const pageOf = (id: number): Buffer => Buffer.alloc(4096, id);

/** A record of a page; with `base` the difference from a page of that content. */
interface PageRecord {
  readonly page: number;
  readonly id: number;
  readonly base?: number;
}

type ToDestination =
  | ({ readonly is: 'page' } & PageRecord)
  | { readonly is: 'plan'; readonly part: PlanPart }
  /** The target throws the page away. */
  | { readonly is: 'discard'; readonly page: number }
  /** The target has the VM when it has taken it. */
  | { readonly is: 'package' };

export const steps = [
  ...(['write', 'send', 'parse', 'list', 'plan', 'take', 'answer', 'status', 'short-of'] as const),
  ...(['deliver', 'read', 'complete'] as const),
] as const;
/** Those that follow when the VM moves before its memory is there. */
export const stepsAfterMove = [
  ...(['owed', 'parse-urgent', 'touch', 'guest-write'] as const),
  ...steps,
] as const;
type StepAfterMove = (typeof stepsAfterMove)[number];

/** In place of a Schedule: the script says what is done next, however unwise. */
class AnyOrder implements PageDecisions {
  waitsForList = true;
  readonly dirtyPassMayGo = false;
  passesListed = false;
  readonly firstShare: number;
  pagesToPlan = 0;
  takes = false;
  takesPassedOver = false;
  remainingPages = 0;

  constructor(firstShare: number) {
    this.firstShare = firstShare;
  }

  listArrived(remainingPages: number): void {
    this.waitsForList = false;
    this.remainingPages = remainingPages;
  }

  listWalked(plannedPages: number, remainingPages: number): void {
    this.pagesToPlan = 0;
    this.takes = false;
    this.remainingPages = remainingPages;
  }

  sendsFromMemory(_qemuHeld: boolean, _room: number, passedOver: boolean): boolean {
    return this.takes || (passedOver && this.takesPassedOver);
  }

  noList(): void {}
  status(): void {}
  firstPassThrough(): void {}
  dirtyPassThrough(): void {}
}

const diskOf = (block: number): number => (block < diskBlocks ? 0 : 1);

/** Small enough that other things happen in between. */
const slices = {
  ...{ listPages: 5, planPages: 5, takePages: 2 },
  ramCheck: { windowPages: 1, minEqualShare: 0, stride: 1, maxStalePages: 0, maxStaleShare: 0 },
};

/** What QEMU is like. */
interface ModelledQemu {
  /** Capability xbzrle. */
  readonly sendsDifferences: boolean;
  /** One page of so many was free, and is not sent in the first pass; 0: none. */
  readonly freeEvery: number;
}

interface Entry {
  readonly block: number;
  readonly frame: number;
  readonly count: number;
  readonly cold: boolean;
}

export class World {
  readonly ram: number[];
  readonly target = new Array<number>(pageCount).fill(-1);
  readonly storage: readonly number[];
  readonly pages: GuestPages;
  /** Undefined where the script decides. */
  readonly hold: SwitchoverHold | undefined;
  readonly plan = new RestorePlan(judgedPages);
  /** The destination's. */
  readonly hasher = new PageHasher(hashKey);
  /** Pages of which a record came while storage was read. */
  overtaken = 0;
  /** Disks that were given up, as the source knows. */
  givenUp = 0;
  /** Records of differences that have arrived. */
  differences = 0;
  /** QEMU may switch over. */
  acknowledged = false;
  readonly #order: AnyOrder;
  readonly #schedule: Schedule | undefined;
  readonly #list: PackedPageList;
  #listed = false;
  #accepted = false;
  readonly #dirty = new Array<boolean>(pageCount).fill(true);
  #nextPage = 0;
  #nextId = 100;
  readonly #socket: PageRecord[] = [];
  readonly #qemu: ModelledQemu;
  /** What QEMU has sent of pages since its first pass. */
  readonly #sent = new Map<number, number>();
  #firstPassOver = false;
  readonly #wire: ToDestination[] = [];
  readonly #reads: Extent[] = [];
  readonly #asked: number[] = [];
  #toldStatus = '';
  /** Of an early resume: pages that the target has thrown away and QEMU has not sent again. */
  #owed: Set<number> | undefined;
  /** QEMU's second connection. */
  readonly #urgent: PageRecord[] = [];
  /** What the VM has written at the target. */
  readonly #written = new Map<number, number>();
  /** The target has the VM. */
  runsAtTarget = false;
  /** Pages that came when the target's VM had them already. */
  dropped = 0;
  /** Pages that the target's VM waited for and got from the source engine, or from QEMU. */
  requested = { engine: 0, qemu: 0 };

  /**
   * @param strategy of a real schedule; undefined: anything may be done at any time
   * @param firstShare of the list, which is wanted before the rest
   */
  constructor(
    ram: readonly number[],
    storage: readonly number[],
    entries: readonly Entry[],
    strategy: Strategy | undefined,
    qemu: ModelledQemu,
    firstShare = 1,
  ) {
    this.#order = new AnyOrder(firstShare);
    this.ram = [...ram];
    this.storage = storage;
    this.#qemu = qemu;
    for (let page = 0; page < pageCount; page++) {
      if (qemu.freeEvery === 0 || page % qemu.freeEvery !== 0) continue;
      this.ram[page] = 0;
      this.target[page] = 0;
      this.#dirty[page] = false;
    }
    const sorted = [...entries].sort((a, b) => Number(a.cold) - Number(b.cold) || a.block - b.block);
    const list: PageList = {
      sources: [
        { kind: 'disk', disk: 'vda' },
        { kind: 'disk', disk: 'vdb' },
      ],
      runs: {
        firstColdRun: sorted.filter(({ cold }) => !cold).length,
        sourceIndex: Uint16Array.from(sorted, ({ block }) => diskOf(block)),
        storageBlock: Uint32Array.from(sorted, ({ block }) => block - diskOf(block) * diskBlocks),
        guestFrame: Uint32Array.from(sorted, ({ frame }) => frame),
        count: Uint16Array.from(sorted, ({ count }) => count),
      },
      pageCount: sorted.reduce((sum, { count }) => sum + count, 0),
      guestRam: [[0, pageCount - 1]],
      timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
      leftOut: {},
      failures: [],
      server: {
        product: 'other',
        version: '',
        method: 'scan',
        cachedPages: 0,
        dirtyPages: 0,
        excludedPages: 0,
      },
    };
    this.#list = decodePageList(encodePageList(list));
    const schedule = strategy === undefined ? undefined : new Schedule(strategy, firstShare % 1);
    this.#schedule = schedule;
    const source = {
      block: ({ index }: RamBlock) => this.#guestRam(index),
      map: () => map,
      close: () => undefined,
    };
    const takeEvent = ({ event }: EngineEvent): void => {
      if (event === 'accepted') this.#accepted = true;
      if (event === 'storage-unusable') this.givenUp += 1;
    };
    this.pages = new GuestPages(
      schedule ?? this.#order,
      new PageHasher(hashKey),
      source,
      takeEvent,
      {
        canInject: true,
        room: 1,
        injectPage: (block, page, buffer, offset) => {
          this.#wire.push({ is: 'page', page: numberOf(block, page), id: buffer[offset] ?? 0 });
        },
        injectZeroPage: (block, page) => {
          this.#wire.push({ is: 'page', page: numberOf(block, page), id: 0 });
        },
        sendPlan: (part) => {
          this.#wire.push({ is: 'plan', part });
        },
      },
      slices,
    );
    this.pages.takeBlocks(blocks, 'pc-q35-10.0');
    if (schedule === undefined) return;
    this.hold = new SwitchoverHold(schedule, this.pages, takeEvent, {
      expectStop: () => undefined,
      prepareMove: () => undefined,
      allowSwitchover: () => undefined,
      mayEnd: () => true,
      releaseEnd: () => undefined,
      toQemu: () => {
        this.acknowledged = true;
      },
      wakeIn: () => undefined,
    });
    this.hold.pushReturnPath(
      encodeReturnPathMessage({ type: returnPathMessage.switchoverAck, data: Buffer.alloc(0) }),
    );
  }

  /** Does a step if it can be done; returns whether it was. `choice` picks among alternatives. */
  step(step: StepAfterMove, choice: number): boolean {
    switch (step) {
      case 'owed': {
        const [page] = [...(this.#owed ?? [])].slice(choice % Math.max(1, this.#owed?.size ?? 0));
        if (page === undefined) return false;
        this.#owed?.delete(page);
        this.#socket.push({ page, id: this.ram[page] ?? 0 });
        return true;
      }
      case 'parse-urgent': {
        const record = this.#urgent.shift();
        if (record === undefined) return false;
        const { blockIndex, pageIndex } = nameOf(record.page);
        this.pages.urgentRecord(blockIndex, pageIndex);
        this.#wire.push({ is: 'page', ...record });
        return true;
      }
      case 'touch':
        return this.#touch(choice);
      case 'guest-write': {
        const page = choice % pageCount;
        if (!this.runsAtTarget || this.target[page] === -1) return false;
        this.#written.set(page, 1000 + choice);
        this.target[page] = 1000 + choice;
        return true;
      }
      case 'write': {
        if (this.#owed !== undefined) return false;
        const page = choice % pageCount;
        // Sometimes zeros, sometimes what storage has.
        const id =
          choice % 7 === 0
            ? 0
            : choice % 5 === 0
              ? (this.storage[choice % storageBlocks] ?? 0)
              : this.#nextId++;
        this.ram[page] = id % 256;
        this.#dirty[page] = true;
        return true;
      }
      case 'send': {
        for (let i = 0; i < pageCount; i++) {
          const page = (this.#nextPage + i) % pageCount;
          if (this.#dirty[page] !== true) continue;
          this.#dirty[page] = false;
          if (page < this.#nextPage) this.#firstPassOver = true;
          this.#nextPage = page + 1;
          this.#save(page, this.ram[page] ?? 0);
          return true;
        }
        return false;
      }
      case 'parse': {
        const record = this.#socket.shift();
        if (record === undefined) return false;
        this.pages.chunkComes(0);
        let kept = true;
        const { blockIndex, pageIndex } = nameOf(record.page);
        if (record.base !== undefined) this.pages.deltaRecord(blockIndex, pageIndex);
        else if (record.id === 0) this.pages.zeroRecord(blockIndex, pageIndex);
        else kept = this.pages.pageRecord(blockIndex, pageIndex, pageOf(record.id), 0);
        if (kept) this.#wire.push({ is: 'page', ...record });
        this.pages.chunkTaken();
        return true;
      }
      case 'list':
        // It arrives in the middle of QEMU's first pass, or after it.
        if (this.#listed) return false;
        this.#listed = true;
        this.pages.takeList(this.#list);
        this.pages.takeStorage({
          storage: [0, 1].map(() => ({ usable: true, sizeBytes: diskBlocks * 4096 })),
        });
        return true;
      case 'short-of':
        this.#order.passesListed = choice % 2 === 0;
        this.#schedule?.isShortOf(choice % 2 === 0 ? 'processors' : 'link');
        return true;
      case 'plan':
        this.#order.pagesToPlan = 1 + (choice % 5);
        return this.#advance();
      case 'take':
        this.#order.takes = true;
        return this.#advance();
      case 'answer': {
        const page = this.#asked.shift();
        if (page === undefined) return false;
        this.pages.takeAsk([nameOf(page)]);
        this.#advance();
        return true;
      }
      case 'status': {
        const status = { ...this.plan.counts, storageBytes: 0 };
        const isNew = JSON.stringify(status) !== this.#toldStatus;
        this.#toldStatus = JSON.stringify(status);
        this.pages.takeStatus(status, 0);
        this.hold?.update(0);
        return isNew;
      }
      case 'deliver': {
        const message = this.#wire.shift();
        if (message === undefined) return false;
        if (message.is === 'plan') {
          const { part } = message;
          this.plan.add(part, blocks[part.blockIndex]?.pageCount ?? 0, diskBlocks);
        } else if (message.is === 'package') this.runsAtTarget = true;
        else if (message.is === 'discard') {
          const { blockIndex, pageIndex } = nameOf(message.page);
          this.plan.supersede(blockIndex, pageIndex);
          this.target[message.page] = -1;
        } else this.#load(message);
        return true;
      }
      case 'read': {
        const extent = this.plan.nextExtent((1 + (choice % 6)) * 4096);
        if (extent !== undefined) this.#reads.push(extent);
        return extent !== undefined;
      }
      case 'complete': {
        const [extent] = this.#reads.splice(choice % Math.max(1, this.#reads.length), 1);
        if (extent === undefined) return false;
        this.#complete(extent);
        return true;
      }
    }
  }

  /** As migration/ram.c, ram_save_target_page and save_xbzrle_page. */
  #save(page: number, id: number): void {
    const base = this.#sent.get(page);
    if (this.#qemu.sendsDifferences && this.#firstPassOver) this.#sent.set(page, id);
    if (id === 0 || base === undefined) this.#socket.push({ page, id });
    else if (base !== id) this.#socket.push({ page, id, base });
  }

  #load({ page, id, base }: PageRecord): void {
    const { blockIndex, pageIndex } = nameOf(page);
    if (base === undefined) this.plan.supersede(blockIndex, pageIndex);
    else {
      this.differences += 1;
      // What does not differ stays as the target has it.
      if (this.target[page] !== base || this.plan.isPending(blockIndex, pageIndex))
        throw new Error(
          `page ${page} is ${this.target[page]}, and ${id} comes as the difference from ${base}`,
        );
    }
    this.#arrive(page, id);
  }

  /** A page that the target's VM has is not taken again: it may have written to it. */
  #arrive(page: number, id: number): void {
    if (this.runsAtTarget && this.target[page] !== -1) this.dropped += 1;
    else this.target[page] = id;
  }

  /** The VM moves: the target throws away what is dirty, and QEMU sends that when the VM runs there. */
  move(): void {
    while (this.step('parse', 0));
    this.#owed = new Set<number>();
    for (const [page, dirty] of this.#dirty.entries()) {
      if (!dirty) continue;
      this.#dirty[page] = false;
      this.#owed.add(page);
      const { blockIndex, pageIndex } = nameOf(page);
      this.pages.discarded(blockIndex, pageIndex, 1);
      this.#wire.push({ is: 'discard', page });
    }
    this.pages.checkMemory();
    this.#wire.push({ is: 'package' });
  }

  /** The target's VM waits for a page: the source engine has it, or QEMU sends it beside its stream. */
  #touch(choice: number): boolean {
    const missing = this.runsAtTarget
      ? [...this.target.keys()].filter((page) => this.target[page] === -1)
      : [];
    const page = missing[choice % Math.max(1, missing.length)];
    if (page === undefined) return false;
    const { blockIndex, pageIndex } = nameOf(page);
    if (this.pages.request(blockIndex, pageIndex, 1)) {
      this.requested.engine += 1;
      return this.#advance();
    }
    if (this.#owed?.delete(page) !== true) return false;
    this.requested.qemu += 1;
    this.#urgent.push({ page, id: this.ram[page] ?? 0 });
    return true;
  }

  /** Whether storage alone can give what the target misses. */
  get needsNoSource(): boolean {
    if (!this.runsAtTarget) return false;
    return blocks.every(({ index, pageCount: pages }) => {
      const received = new PageSet(pages);
      for (let page = 0; page < pages; page++)
        if (this.target[numberOf(index, page)] !== -1) received.add(page);
      return this.plan.covers(index, received);
    });
  }

  /** The source is gone, with all that was on its way; the destination reads on. Returns whether all came. */
  loseSource(choice: number): boolean {
    this.#wire.length = 0;
    const missing = [...this.target.keys()].filter((page) => this.target[page] === -1);
    for (const page of missing.filter((_, index) => (index + choice) % 3 === 0)) {
      const { blockIndex, pageIndex } = nameOf(page);
      this.plan.want(blockIndex, pageIndex);
    }
    while (this.step('read', choice) || this.step('complete', choice));
    return this.plan.pendingPages === 0;
  }

  /** What the target is to have in the end. */
  get expected(): readonly number[] {
    return this.ram.map((id, page) => this.#written.get(page) ?? id);
  }

  /** A slice of what there is to do; returns whether anything was done. */
  #advance(): boolean {
    const { remainingPages, waitsForList } = this.#order;
    const onWire = this.#wire.length;
    const wasAccepted = this.#accepted;
    const more = this.pages.advance(this.hold?.holdsQemu ?? false);
    this.hold?.update(0);
    if (this.#order.remainingPages !== remainingPages || this.#order.waitsForList !== waitsForList)
      return true;
    return more || this.#wire.length > onWire || this.#accepted !== wasAccepted;
  }

  #complete(extent: Extent): void {
    const content = Buffer.alloc(extent.lengthBytes);
    const first = extent.sourceIndex * diskBlocks + extent.offsetBytes / 4096;
    for (let slot = 0; slot * 4096 < content.length; slot++)
      content.fill(this.storage[first + slot] ?? 0, slot * 4096, (slot + 1) * 4096);
    const { pendingPages, restoredPages, askedPages } = this.plan;
    this.plan.finish(extent, content, this.hasher, {
      take: (block, page, buffer, offset) => {
        this.#arrive(numberOf(block, page), buffer[offset] ?? 0);
      },
      ask: (pages) => {
        this.#asked.push(...pages.map(({ blockIndex, pageIndex }) => numberOf(blockIndex, pageIndex)));
      },
    });
    const settled = this.plan.restoredPages - restoredPages + this.plan.askedPages - askedPages;
    this.overtaken += extent.pageCount - settled;
    if (this.plan.pendingPages > pendingPages) throw new Error('a read must not make pages pending');
  }

  #guestRam(block: number): GuestRam {
    return {
      read: (page, count, into, offset) => {
        for (let i = 0; i < count; i++)
          pageOf(this.ram[numberOf(block, page + i)] ?? 0).copy(into, offset + i * 4096);
      },
    };
  }

  /** Nothing is written any more: everything goes on until nothing moves. */
  settle(): void {
    this.#order.takesPassedOver = true;
    let moved = true;
    while (moved) {
      moved = false;
      for (const step of stepsAfterMove)
        if (!['write', 'take', 'guest-write', 'touch', 'short-of'].includes(step) && this.step(step, 0))
          moved = true;
    }
  }
}

const id = fc.integer({ min: 0, max: 12 });
const entry = fc.record({
  block: fc.nat(storageBlocks + 2),
  frame: fc.nat(pageCount + 2),
  cold: fc.boolean(),
  count: fc.integer({ min: 1, max: 6 }),
});

/** What memory and storage hold, the list, and QEMU. */
export const arbitraryStart = fc
  .record({
    ram: fc.array(id, { minLength: pageCount, maxLength: pageCount }),
    storage: fc.array(id, { minLength: storageBlocks, maxLength: storageBlocks }),
    entries: fc.array(entry, { minLength: 2, maxLength: 12, size: 'max' }),
    firstShare: fc.constantFrom(1, 0.4),
    /** The list names blocks that memory holds, at least in the beginning. */
    honest: fc.boolean(),
    qemu: fc.record({ sendsDifferences: fc.boolean(), freeEvery: fc.constantFrom(0, 0, 5) }),
  })
  .map(({ ram, honest, ...start }) => {
    const memory = [...ram];
    if (honest)
      for (const { block, frame, count } of start.entries)
        for (let i = 0; i < count; i++)
          if (frame + i < pageCount && block + i < storageBlocks)
            memory[numberOfFrame(frame + i)] = start.storage[block + i] ?? 0;
    return { ...start, memory };
  });

/** Steps, and what picks among alternatives in each. */
export const scriptOf = <Name>(
  names: readonly Name[],
  minLength: number,
  maxLength: number,
): fc.Arbitrary<(readonly [Name, number])[]> =>
  fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(10_000)), { minLength, maxLength, size: 'max' });
