/** A link, or anything else that takes so many bytes in a second, in simulated time. */

interface RatePiece {
  readonly fromMs: number;
  /** 0 is a stall. */
  readonly bytesPerSecond: number;
}

/** A rate that changes; pieces in order of time, the first from 0. */
export type Rate = readonly RatePiece[];

export function constantRate(bytesPerSecond: number): Rate {
  return [{ fromMs: 0, bytesPerSecond }];
}

export class SimulatedLink {
  bytes = 0;
  /** Time in which the link could have carried something, and did. A stalled link is neither busy nor idle. */
  busyMs = 0;
  idleMs = 0;
  readonly #rate: Rate;
  #piece = 0;
  #credit = 0;
  #stepMs = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  get bytesPerSecond(): number {
    return this.#rate[this.#piece]?.bytesPerSecond ?? 0;
  }

  /** A step of time begins. */
  begin(nowMs: number, stepMs: number): void {
    while ((this.#rate[this.#piece + 1]?.fromMs ?? Infinity) <= nowMs) this.#piece += 1;
    this.#stepMs = stepMs;
    this.#credit += (this.bytesPerSecond * stepMs) / 1000;
  }

  has(bytes: number): boolean {
    return this.#credit >= bytes;
  }

  spend(bytes: number): void {
    this.#credit -= bytes;
    this.bytes += bytes;
  }

  /**
   * The step ends.
   *
   * @param nextBytes size of what is under way and has not passed entirely; 0 if there is nothing
   */
  end(nextBytes: number): void {
    const rate = this.bytesPerSecond;
    const unused = Math.max(0, this.#credit - nextBytes);
    this.#credit -= unused;
    if (rate === 0) return;
    const idleMs = Math.min(this.#stepMs, (unused / rate) * 1000);
    this.idleMs += idleMs;
    this.busyMs += this.#stepMs - idleMs;
  }
}
