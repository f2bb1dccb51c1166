/**
 * How long the target's VM waited for pages: from the request (migration/postcopy-ram.c, postcopy_request_page) to when the page
 * was handed to its QEMU. Pure; time comes with the calls.
 */
import { percentileMs } from '../../record/latency.ts';
import type { PageName } from '../wire/plan-codec.ts';
import type { EngineEvent } from './engine-event.ts';

const pagesOfBlock = 2 ** 32;

export class FaultTimes {
  readonly #sinceMs = new Map<number, number>();
  readonly #tookMs: number[] = [];

  /** Whether pages are waited for: else no arrival has to be told. */
  get isWaiting(): boolean {
    return this.#sinceMs.size > 0;
  }

  /** Those that are waited for now, the longest first. */
  get waitedFor(): readonly PageName[] {
    return Array.from(this.#sinceMs.keys(), (key) => ({
      blockIndex: Math.floor(key / pagesOfBlock),
      pageIndex: key % pagesOfBlock,
    }));
  }

  /** A page is waited for; a second request of it waits since the first. */
  requested(blockIndex: number, page: number, nowMs: number): void {
    const key = blockIndex * pagesOfBlock + page;
    if (!this.#sinceMs.has(key)) this.#sinceMs.set(key, nowMs);
  }

  /** A page goes to the target. */
  arrived(blockIndex: number, page: number, nowMs: number): void {
    const key = blockIndex * pagesOfBlock + page;
    const since = this.#sinceMs.get(key);
    if (since === undefined) return;
    this.#sinceMs.delete(key);
    this.#tookMs.push(nowMs - since);
  }

  /** Of all pages that came. */
  get summary(): Extract<EngineEvent, { event: 'faults' }> {
    const took = this.#tookMs.map((ms) => ({ ms, transactions: 1 }));
    const rounded = (percent: number): number => Math.round((percentileMs(took, percent) ?? 0) * 100) / 100;
    return {
      event: 'faults',
      faults: took.length,
      fault_p50_ms: rounded(50),
      fault_p95_ms: rounded(95),
      fault_p99_ms: rounded(99),
      fault_max_ms: rounded(100),
    };
  }
}
