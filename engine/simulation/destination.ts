/** The destination engine in simulated time: the real RestorePlan, with storage and the target in place of Restorer and QEMU. */
import { pageSizeBytes } from '../list/page-list.ts';
import { type Extent, RestorePlan } from '../core/restore-plan.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import type { SimulatedGuest } from './guest.ts';
import { constantRate, SimulatedLink } from './link.ts';
import { type Setup, stepMs } from './migration.ts';
import type { Frame } from './wire.ts';

/** As in engine/destination/restorer.ts. */
const readBytes = 1024 * 1024;
const readsAtOnce = 6;
const buffers = 12;

export class SimulatedDestination {
  readonly storageLink: SimulatedLink;
  /** Version of each page in the target's memory. */
  readonly atTarget: Uint32Array;
  restoredPages = 0;
  readonly #plan = new RestorePlan();
  readonly #listLength: number;
  /** What the target's QEMU takes. */
  readonly #target: SimulatedLink;
  readonly #reading: Extent[] = [];
  readonly #read: Extent[] = [];
  #asked: number[] = [];
  #mismatchedPages = 0;

  constructor(guest: SimulatedGuest, setup: Setup) {
    this.storageLink = new SimulatedLink(setup.storageRate);
    this.#target = new SimulatedLink(constantRate(setup.targetBytesPerSecond));
    this.atTarget = new Uint32Array(guest.pageCount).fill(0xffff_ffff);
    this.#listLength = guest.list.length;
  }

  get pendingPages(): number {
    return this.#plan.pendingPages;
  }

  get status(): RestoreStatus {
    return {
      receivedPages: this.#plan.receivedPages,
      pendingPages: this.#plan.pendingPages,
      cursorPages: this.#plan.cursorPages,
      restoredPages: this.restoredPages,
      mismatchedPages: this.#mismatchedPages,
      unreadablePages: 0,
      cancelledPages: this.#plan.cancelledPages,
      storageBytes: this.storageLink.bytes,
    };
  }

  begin(nowMs: number): void {
    this.storageLink.begin(nowMs, stepMs);
    this.#target.begin(nowMs, stepMs);
  }

  /** Takes a frame, if the target has room for it. */
  take(frame: Frame): boolean {
    switch (frame.is) {
      case 'plan':
        this.#plan.add(frame.part, this.atTarget.length, this.#listLength);
        return true;
      case 'zero-page':
        this.#setPage(frame.page, 0);
        return true;
      case 'page':
        if (!this.#target.has(pageSizeBytes)) return false;
        this.#target.spend(pageSizeBytes);
        this.#setPage(frame.page, frame.version);
        return true;
    }
  }

  /** Reads storage and hands over what was read. Returns pages that storage does not have. */
  restore(): readonly number[] {
    this.#startReads();
    for (let extent = this.#reading[0]; extent !== undefined; extent = this.#reading[0]) {
      if (!this.storageLink.has(extent.lengthBytes)) break;
      this.storageLink.spend(extent.lengthBytes);
      this.#read.push(extent);
      this.#reading.shift();
      this.#handOver();
      this.#startReads();
    }
    this.#handOver();
    const asked = this.#asked;
    this.#asked = [];
    return asked;
  }

  /** The step ends. */
  end(): void {
    this.storageLink.end(this.#reading[0]?.lengthBytes ?? 0);
    this.#target.end(readBytes);
  }

  #startReads(): void {
    while (this.#reading.length < readsAtOnce && this.#reading.length + this.#read.length < buffers) {
      const extent = this.#plan.nextExtent(readBytes);
      if (extent === undefined) return;
      this.#reading.push(extent);
    }
  }

  #handOver(): void {
    for (let extent = this.#read[0]; extent !== undefined; extent = this.#read[0]) {
      if (!this.#target.has(extent.pageCount * pageSizeBytes)) return;
      this.#read.shift();
      extent.pages.forEach((page, index) => {
        if (!this.#plan.isPending(0, page)) return;
        // Storage has version 0.
        if (extent.hashes[2 * index] === 0) {
          this.#target.spend(pageSizeBytes);
          this.atTarget[page] = 0;
          this.#plan.settle(0, page);
          this.restoredPages += 1;
        } else {
          this.#mismatchedPages += 1;
          this.#plan.ask(0, page);
          this.#asked.push(page);
        }
      });
      this.#plan.extentDone(extent);
    }
  }

  #setPage(page: number, version: number): void {
    this.atTarget[page] = version;
    this.#plan.supersede(0, page);
  }
}
