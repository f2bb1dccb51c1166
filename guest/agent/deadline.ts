/**
 * When work has to end, whoever it is for: what calls itself a server can make any part of a list take any time, and any number of
 * processes can call themselves one.
 */
import { GuestError } from './guest-error.ts';

/** For a list, from the request on: the host waits a minute for it, in which it is also sorted, encoded and sent. */
export const listMs = 50_000;

export class Deadline {
  readonly #nowMs: () => number;
  readonly #startMs: number;
  readonly #endMs: number;

  constructor(limitMs: number, nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
    this.#endMs = this.#startMs + limitMs;
  }

  get remainingMs(): number {
    return Math.max(0, this.#endMs - this.#nowMs());
  }

  /** One that begins now, for a part of the work: it ends after `limitMs`, and not after this one. */
  within(limitMs: number): Deadline {
    return new Deadline(Math.min(limitMs, this.remainingMs), this.#nowMs);
  }

  /** @throws GuestError 'too-slow' once it is over */
  check(): void {
    if (this.#nowMs() <= this.#endMs) return;
    const limitMs = Math.round(this.#endMs - this.#startMs);
    throw new GuestError(
      'too-slow',
      `its pages are not found within ${limitMs} ms, which is its share of the time`,
    );
  }
}
