/**
 * Why memory arrives complete, as a model (docs/engine.md, Order): a guest that writes, a QEMU with a dirty log, a socket
 * between QEMU and the source engine, one between the engines, storage that is read out of order, and a list that may lie.
 * Whatever the interleaving, the target's memory is the source's in the end.
 */
import test from 'ava';
import fc from 'fast-check';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import { decodePageList, encodePageList, type PackedPageList } from '../list/page-list-codec.ts';
import type { PageList } from '../list/page-list.ts';
import { type Extent, RestorePlan } from './restore-plan.ts';
import type { PlanPart } from '../wire/plan-codec.ts';
import type { GuestRam } from '../source/guest-ram.ts';
import { PageLedger, pageState } from './page-ledger.ts';
import { PlanBuilder } from './plan-builder.ts';

const hashKey = randomHashKey();
const pageCount = 24;
const storageBlocks = 40;

/** Pages with content `id`; 0 is a page of zeros. */
const pageOf = (id: number): Buffer => Buffer.alloc(4096, id);

type ToDestination =
  | { readonly is: 'page'; readonly page: number; readonly id: number }
  | { readonly is: 'plan'; readonly part: PlanPart };

const steps = ['write', 'send', 'parse', 'plan', 'take', 'answer', 'deliver', 'read', 'complete'] as const;
type Step = (typeof steps)[number];

interface Entry {
  readonly block: number;
  readonly frame: number;
  readonly count: number;
}

class World {
  readonly ram: number[];
  readonly target = new Array<number>(pageCount).fill(-1);
  readonly storage: readonly number[];
  readonly ledger = new PageLedger(pageCount, new PageHasher(hashKey));
  readonly plan = new RestorePlan();
  /** The destination's. */
  readonly hasher = new PageHasher(hashKey);
  builder: PlanBuilder | undefined;
  /** Pages of which a record came while storage was read. */
  overtaken = 0;
  readonly #list: PackedPageList;
  readonly #dirty = new Array<boolean>(pageCount).fill(true);
  #nextPage = 0;
  #nextId = 100;
  readonly #socket: { readonly page: number; readonly id: number }[] = [];
  readonly #wire: ToDestination[] = [];
  readonly #reads: Extent[] = [];
  #asked: number[] = [];

  constructor(ram: readonly number[], storage: readonly number[], entries: readonly Entry[]) {
    this.ram = [...ram];
    this.storage = storage;
    const sorted = [...entries].sort((a, b) => a.block - b.block);
    const list: PageList = {
      sources: [{ kind: 'disk', disk: 'vda' }],
      runs: {
        sourceIndex: new Uint16Array(sorted.length),
        storageBlock: Uint32Array.from(sorted, ({ block }) => block),
        guestFrame: Uint32Array.from(sorted, ({ frame }) => frame),
        count: Uint16Array.from(sorted, ({ count }) => count),
      },
      pageCount: sorted.reduce((sum, { count }) => sum + count, 0),
      guestRam: [[0, pageCount - 1]],
      timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
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
  }

  /** Does a step if it can be done; returns whether it was. `choice` picks among alternatives. */
  step(step: Step, choice: number): boolean {
    switch (step) {
      case 'write': {
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
          this.#nextPage = page + 1;
          this.#socket.push({ page, id: this.ram[page] ?? 0 });
          return true;
        }
        return false;
      }
      case 'parse': {
        const record = this.#socket.shift();
        if (record === undefined) return false;
        if (record.id === 0) this.ledger.zeroRecord(record.page);
        else if (!this.ledger.pageRecord(record.page, pageOf(record.id), 0)) return true;
        this.#wire.push({ is: 'page', ...record });
        return true;
      }
      case 'plan': {
        // The list arrives in the middle of QEMU's first pass.
        this.builder ??= new PlanBuilder(this.#list, [storageBlocks], 0, this.ledger, this.#guestRam());
        if (this.builder.remainingPages === 0) return false;
        const part = this.builder.planNext(1 + (choice % 5), (page) => {
          this.#wire.push({ is: 'page', page, id: 0 });
        });
        if (part !== undefined) this.#wire.push({ is: 'plan', part });
        return true;
      }
      case 'take':
        return (
          (this.builder?.takeFromBack(1 + (choice % 3), 0, (page, content) => {
            this.#wire.push({ is: 'page', page, id: content?.[0] ?? 0 });
          }) ?? 0) > 0
        );
      case 'answer': {
        const page = this.#asked.shift();
        if (page === undefined) return false;
        const state = this.ledger.state(page);
        if (state === pageState.planned || state === pageState.plannedWithheld) {
          this.ledger.drop(page);
          this.#sendFromRam(page);
        }
        return true;
      }
      case 'deliver': {
        const message = this.#wire.shift();
        if (message === undefined) return false;
        if (message.is === 'plan') this.plan.add(message.part, pageCount, storageBlocks);
        else {
          this.target[message.page] = message.id;
          this.plan.supersede(0, message.page);
        }
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

  #complete(extent: Extent): void {
    const hash = new Uint32Array(2);
    extent.pages.forEach((page, i) => {
      if (!this.plan.isPending(0, page)) {
        this.overtaken += 1;
        return;
      }
      const id = this.storage[extent.offsetBytes / 4096 + (extent.slots[i] ?? 0)] ?? 0;
      this.hasher.hashPage(pageOf(id), 0, hash, 0);
      if (hash[0] === extent.hashes[2 * i] && hash[1] === extent.hashes[2 * i + 1]) {
        this.target[page] = id;
        this.plan.settle(0, page);
      } else {
        this.plan.ask(0, page);
        this.#asked.push(page);
      }
    });
    this.plan.extentDone(extent);
  }

  #sendFromRam(page: number): void {
    this.#wire.push({ is: 'page', page, id: this.ram[page] ?? 0 });
  }

  #guestRam(): GuestRam {
    return {
      read: (page, count, into, offset) => {
        for (let i = 0; i < count; i++) pageOf(this.ram[page + i] ?? 0).copy(into, offset + i * 4096);
      },
    };
  }

  /** Nothing is written any more: everything goes on until nothing moves. */
  settle(): void {
    let moved = true;
    while (moved) {
      moved = false;
      for (const step of steps) if (step !== 'write' && step !== 'take' && this.step(step, 0)) moved = true;
    }
  }
}

const id = fc.integer({ min: 0, max: 12 });
const entry = fc.record({
  block: fc.nat(storageBlocks + 2),
  frame: fc.nat(pageCount + 2),
  count: fc.integer({ min: 1, max: 6 }),
});

test("whatever the interleaving, the target's memory is the source's in the end", (t) => {
  let restored = 0;
  let asked = 0;
  let cancelled = 0;
  let overtaken = 0;
  fc.assert(
    fc.property(
      fc.array(id, { minLength: pageCount, maxLength: pageCount }),
      fc.array(id, { minLength: storageBlocks, maxLength: storageBlocks }),
      fc.array(entry, { minLength: 2, maxLength: 12, size: 'max' }),
      fc.array(fc.tuple(fc.constantFrom(...steps), fc.nat(10_000)), {
        minLength: 50,
        maxLength: 300,
        size: 'max',
      }),
      fc.boolean(),
      (ram, storage, entries, script, honest) => {
        // An honest list names blocks that memory holds, at least in the beginning.
        const memory = [...ram];
        if (honest) {
          for (const { block, frame, count } of entries) {
            for (let i = 0; i < count; i++) {
              if (frame + i < pageCount && block + i < storageBlocks)
                memory[frame + i] = storage[block + i] ?? 0;
            }
          }
        }
        const world = new World(memory, storage, entries);
        for (const [step, choice] of script) world.step(step, choice);
        world.settle();
        t.deepEqual(world.target, world.ram);
        t.is(world.plan.pendingPages, 0);
        t.is(world.ledger.withheldPages, 0);
        restored += world.plan.receivedPages - world.plan.askedPages - world.plan.cancelledPages;
        asked += world.plan.askedPages;
        cancelled += world.plan.cancelledPages;
        overtaken += world.overtaken;
      },
    ),
    { numRuns: 1000 },
  );
  // What the interleavings must have brought about for the test to mean anything.
  for (const pages of [restored, asked, cancelled, overtaken]) {
    t.true(
      pages > 100,
      `${restored} restored, ${asked} asked for, ${cancelled} cancelled, ${overtaken} overtaken`,
    );
  }
});
