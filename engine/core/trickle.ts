/**
 * Reads a little of QEMU now and then while it is held. QEMU waits in the middle of a part of its stream, and keeps its dirty
 * bitmap locked meanwhile (migration/ram.c, ram_save_iterate, bitmap_mutex); with auto-converge its main loop wants that lock every
 * five seconds (migration/cpu-throttle.c, cpu_throttle_dirty_sync_timer_tick, since 9.2), and the guest stands still until it has
 * it. QEMU lets go of the lock where a part ends, which it does by itself when 50 ms are over. Pure: time comes with the calls.
 */
import { pageSizeBytes } from '../list/page-list.ts';

/** What is read so may take this share of the link, since the guest may write it again. */
const linkShare = 0.04;
const minWaitMs = 50;
const maxWaitMs = 500;
/** A part without pages says that QEMU looks for dirty pages in vain, and waits where it has no lock. */
const emptyWaitMs = 5000;

export class Trickle {
  /** When it is read again; undefined while it is not held. */
  #nextAtMs: number | undefined;
  #open = false;
  #records = 0;

  /** Whether QEMU is read, although it is held. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** To be called several times a second. @param held QEMU is held, and cannot switch over */
  update(held: boolean, nowMs: number): void {
    if (!held) {
      this.#nextAtMs = undefined;
      this.#open = false;
      return;
    }
    this.#nextAtMs ??= nowMs + maxWaitMs;
    if (this.#open || nowMs < this.#nextAtMs) return;
    this.#open = true;
    this.#records = 0;
  }

  /**
   * A chunk was read.
   *
   * @param records of pages in it
   * @param partsEnded parts of the RAM section that have ended in it
   * @param linkBytesPerSecond 0 if it is not known
   */
  taken(records: number, partsEnded: number, nowMs: number, linkBytesPerSecond: number): void {
    if (!this.#open) return;
    this.#records += records;
    if (partsEnded === 0) return;
    this.#open = false;
    const linkMs = ((this.#records * pageSizeBytes) / linkBytesPerSecond) * 1000;
    const waitMs = Math.min(maxWaitMs, Math.max(minWaitMs, linkMs / linkShare));
    this.#nextAtMs = nowMs + (this.#records === 0 ? emptyWaitMs : waitMs);
  }
}
