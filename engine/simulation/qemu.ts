/** QEMU's iteration over guest memory (migration/ram.c and migration_iteration_run in migration/migration.c, 10.0). */
import { pageSizeBytes } from '../list/page-list.ts';
import type { SimulatedGuest } from './guest.ts';

export class SimulatedQemu {
  /** Passes over memory: the first, and one for each look at the dirty log that found something. */
  passes = 1;
  /** The VM is stopped, and what is left is sent. */
  stopped = false;
  /** Pages to send, as QEMU knows it. */
  remainingPages: number;
  readonly #guest: SimulatedGuest;
  readonly #bitmap: Uint8Array;
  #cursor = 0;
  #lookedAtMs = -1;

  constructor(guest: SimulatedGuest) {
    this.#guest = guest;
    this.remainingPages = guest.pageCount;
    this.#bitmap = new Uint8Array(guest.pageCount).fill(1);
  }

  /**
   * The next page to send, or -1 if there is none now. When little enough is left, QEMU looks at the dirty log, once a step,
   * and stops the VM if still little enough is left.
   *
   * @param switchoverBytes what QEMU believes it can send within the downtime limit
   * @param maySwitchover the target has acknowledged it
   */
  next(nowMs: number, switchoverBytes: number, maySwitchover: boolean): number {
    const isLittle = (): boolean => this.remainingPages * pageSizeBytes <= switchoverBytes;
    if (!this.stopped && (isLittle() || this.remainingPages === 0) && this.#lookedAtMs !== nowMs) {
      this.#lookedAtMs = nowMs;
      const found = this.#takeLog();
      this.stopped = maySwitchover && isLittle();
      // Looking again and again because it may not switch over makes no pass.
      if (found > 0 && (maySwitchover || found === this.remainingPages)) this.passes += 1;
    }
    if (this.remainingPages === 0) return -1;
    let page = this.#bitmap.indexOf(1, this.#cursor);
    if (page < 0) page = this.#bitmap.indexOf(1);
    // QEMU clears the bit before it reads the page.
    this.#bitmap[page] = 0;
    this.remainingPages -= 1;
    this.#cursor = page + 1;
    return page;
  }

  /** Stops the VM for post-copy. Returns the pages that follow it: what is left, which is not what was sent of them before. */
  stop(): readonly number[] {
    this.#takeLog();
    this.stopped = true;
    const pages: number[] = [];
    for (let page = this.#bitmap.indexOf(1); page >= 0; page = this.#bitmap.indexOf(1, page + 1))
      pages.push(page);
    return pages;
  }

  /** Returns how many pages it has added. */
  #takeLog(): number {
    const before = this.remainingPages;
    for (const page of this.#guest.takeLog()) {
      if (this.#bitmap[page] === 1) continue;
      this.#bitmap[page] = 1;
      this.remainingPages += 1;
    }
    return this.remainingPages - before;
  }
}
