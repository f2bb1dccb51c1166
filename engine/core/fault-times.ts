/**
 * How long the target's VM waited for pages: from the request (migration/postcopy-ram.c, postcopy_request_page) to when the page
 * was handed to its QEMU. Pure; time comes with the calls.
 */
import type { EngineEvent } from './engine-event.ts';

const pagesOfBlock = 2 ** 32;

/** Of values in ascending order: the least that so many percent of them do not exceed. */
function percentile(ascending: readonly number[], percent: number): number {
  return ascending[Math.max(0, Math.ceil((ascending.length * percent) / 100) - 1)] ?? 0;
}

export class FaultTimes {
  readonly #sinceMs = new Map<number, number>();
  readonly #tookMs: number[] = [];

  /** A page is waited for; a second request of it waits since the first. */
  requested(blockIndex: number, page: number, nowMs: number): void {
    const key = blockIndex * pagesOfBlock + page;
    if (!this.#sinceMs.has(key)) this.#sinceMs.set(key, nowMs);
  }

  /** A page goes to the target. */
  arrived(blockIndex: number, page: number, nowMs: () => number): void {
    if (this.#sinceMs.size === 0) return;
    const key = blockIndex * pagesOfBlock + page;
    const since = this.#sinceMs.get(key);
    if (since === undefined) return;
    this.#sinceMs.delete(key);
    this.#tookMs.push(nowMs() - since);
  }

  /** Of all pages that came. */
  get summary(): Extract<EngineEvent, { event: 'faults' }> {
    const ascending = this.#tookMs.toSorted((a, b) => a - b);
    const rounded = (percent: number): number => Math.round(percentile(ascending, percent) * 100) / 100;
    return {
      event: 'faults',
      faults: ascending.length,
      fault_p50_ms: rounded(50),
      fault_p95_ms: rounded(95),
      fault_p99_ms: rounded(99),
      fault_max_ms: rounded(100),
    };
  }
}
