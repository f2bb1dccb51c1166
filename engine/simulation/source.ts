/**
 * The source engine in simulated time: the real Schedule and PageLedger, with the list, guest memory and the wire in place of
 * GuestPages, PlanBuilder and the connection. docs/engine.md says what it does.
 */
import { PageHasher, hashKeyBytes } from '../list/content-hash.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { Schedule } from '../core/schedule.ts';
import { DirtyPass } from '../core/dirty-pass.ts';
import { PageLedger, pageState } from '../core/page-ledger.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import { maxPlanPages, type PlanPart } from '../wire/plan-codec.ts';
import type { SimulatedGuest } from './guest.ts';
import type { Wire } from './wire.ts';

/** As in engine/core/guest-pages.ts. */
const planSlicePages = 512;
const takeSlicePages = 64;
const stallPages = 32_768;
/** A hash, and a run of a few pages (engine/wire/plan-codec.ts). */
const planBytesPerPage = 11;

export class SimulatedSource {
  readonly #guest: SimulatedGuest;
  readonly #schedule: Schedule;
  readonly #wire: Wire;
  readonly #ledger: PageLedger;
  readonly #dirtyPass = new DirtyPass();
  #hasList = false;
  #firstPassThrough = false;
  /** Next entry of the list from the front, and the one after the next from the back. */
  #front = 0;
  #back: number;
  #settledPosition = 0;
  #plannedPages = 0;
  readonly #parts: { readonly plannedPages: number; readonly position: number }[] = [];
  readonly #content = Buffer.alloc(pageSizeBytes);
  readonly #contentVersion = new Uint32Array(this.#content.buffer, this.#content.byteOffset, 2);
  readonly #hash = new Uint32Array(2);

  constructor(guest: SimulatedGuest, schedule: Schedule, wire: Wire) {
    this.#guest = guest;
    this.#schedule = schedule;
    this.#wire = wire;
    this.#ledger = new PageLedger(guest.pageCount, new PageHasher(Buffer.alloc(hashKeyBytes)));
    this.#back = guest.list.length;
  }

  get hasList(): boolean {
    return this.#hasList;
  }

  /** Pages that would be lost if QEMU switched over now. */
  get withheldPages(): number {
    return this.#ledger.withheldPages;
  }

  get almostThrough(): boolean {
    const unseenPages = this.#ledger.pageCount - this.#ledger.seenPages;
    return unseenPages <= Math.min(stallPages, this.#ledger.pageCount / 8);
  }

  takeList(): void {
    if (!this.#schedule.waitsForList) return;
    this.#hasList = true;
    for (const page of this.#guest.list) this.#ledger.list(page);
    this.#schedule.listArrived(this.#remaining);
  }

  /** QEMU's next record, or -1 for a part of the RAM section without any. */
  takeRecord(page: number, nowMs: number): void {
    this.#dirtyPass.at(nowMs);
    if (page < 0) this.#dirtyPass.partEnds();
    else this.#takePage(page);
    if (this.#dirtyPass.through && this.#schedule.dirtyPassMayGo) {
      this.#schedule.dirtyPassThrough();
      this.#dirtyPass.end();
    }
  }

  #takePage(page: number): void {
    this.#dirtyPass.record(0, page);
    if (this.#guest.zero[page] === 1) {
      this.#ledger.zeroRecord(page);
      this.#wire.sendZeroPage(page);
    } else {
      this.#readPage(page);
      if (this.#ledger.pageRecord(page, this.#content, 0)) this.#wire.sendPage(page);
    }
    const { seenPages, pageCount, repeated } = this.#ledger;
    if (!this.#firstPassThrough && (seenPages === pageCount || repeated)) {
      this.#firstPassThrough = true;
      this.#schedule.firstPassThrough();
    }
    if (this.#schedule.waitsForList && (this.#firstPassThrough || this.almostThrough))
      this.#schedule.noList();
  }

  takeStatus(status: RestoreStatus, nowMs: number): void {
    if (this.#schedule.dirtyPassMayGo) this.#dirtyPass.begin(nowMs);
    let part = this.#parts[0];
    while (part !== undefined && part.plannedPages <= status.cursorPages) {
      this.#settledPosition = part.position;
      this.#parts.shift();
      part = this.#parts[0];
    }
    this.#schedule.status(status, nowMs);
  }

  /** Sends pages that storage did not give. */
  answer(pages: readonly number[]): void {
    for (const page of pages) {
      const state = this.#ledger.state(page);
      if (state !== pageState.planned && state !== pageState.plannedWithheld) continue;
      this.#ledger.drop(page);
      this.#wire.sendPage(page);
    }
  }

  advance(qemuHeld: boolean): void {
    if (!this.#hasList) return;
    for (let more = true; more;) {
      const plans = this.#planSlice();
      const takes = this.#takeSlice(qemuHeld);
      more = plans || takes;
    }
  }

  get #remaining(): number {
    return Math.max(0, this.#back - this.#front);
  }

  #planSlice(): boolean {
    const pages = Math.min(this.#schedule.pagesToPlan, planSlicePages, maxPlanPages, this.#remaining);
    if (pages === 0 || this.#wire.room < -1) return false;
    const runs: number[] = [];
    const hashes: number[] = [];
    for (const end = this.#front + pages; this.#front < end; this.#front++) {
      const page = this.#guest.list[this.#front] ?? 0;
      const state = this.#ledger.state(page);
      if (state !== pageState.listed && state !== pageState.withheld) continue;
      this.#planPage(page, state);
      appendToRuns(runs, this.#front, page);
      hashes.push(this.#guest.versions[page] ?? 0, 0);
    }
    const pageCount = hashes.length / 2;
    if (pageCount > 0) {
      const part: PlanPart = {
        blockIndex: 0,
        sourceIndex: 0,
        runs: Uint32Array.from(runs),
        hashes: Uint32Array.from(hashes),
        pageCount,
      };
      this.#wire.sendPlan(part, pageCount * planBytesPerPage);
      this.#plannedPages += pageCount;
      this.#parts.push({ plannedPages: this.#plannedPages, position: this.#front });
    }
    this.#schedule.listWalked(pageCount, this.#remaining);
    return this.#schedule.pagesToPlan > 0;
  }

  #takeSlice(qemuHeld: boolean): boolean {
    if (!this.#schedule.takesFromBack(qemuHeld, this.#wire.room)) return false;
    let taken = 0;
    while (taken < takeSlicePages && this.#back > this.#settledPosition) {
      this.#back -= 1;
      const page = this.#guest.list[this.#back] ?? 0;
      const state = this.#ledger.state(page);
      if (state === pageState.plain) continue;
      if (state === pageState.listed || state === pageState.planned) this.#planPage(page, pageState.listed);
      else this.#ledger.drop(page);
      this.#wire.sendPage(page);
      taken += 1;
    }
    this.#schedule.listWalked(0, this.#remaining);
    return taken > 0 && this.#schedule.takesFromBack(qemuHeld, this.#wire.room);
  }

  #planPage(page: number, state: number): void {
    // The ledger keeps no hash of a page whose record was left out already.
    if (state === pageState.listed) {
      this.#readPage(page);
      this.#ledger.hasher.hashPage(this.#content, 0, this.#hash, 0);
    }
    this.#ledger.plan(page, this.#hash[0] ?? 0, this.#hash[1] ?? 0);
  }

  #readPage(page: number): void {
    this.#contentVersion[0] = page;
    this.#contentVersion[1] = this.#guest.versions[page] ?? 0;
  }
}

/** As PlanBuilder makes them: triples of storage block, page, count. */
function appendToRuns(runs: number[], block: number, page: number): void {
  const last = runs.length - 3;
  const count = runs[last + 2] ?? 0;
  if (last >= 0 && (runs[last] ?? 0) + count === block && (runs[last + 1] ?? 0) + count === page) {
    runs[last + 2] = count + 1;
  } else {
    runs.push(block, page, 1);
  }
}
