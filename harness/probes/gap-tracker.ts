interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
  readonly gapMs: number;
}

/** Finds the times without an answer in a row of answers. Pure: time comes with the calls. */
export class GapTracker {
  readonly #thresholdMs: number;
  #lastAnswerMs: number | undefined;
  #answers = 0;
  #longestGapMs = 0;

  constructor(thresholdMs: number) {
    this.#thresholdMs = thresholdMs;
  }

  get answers(): number {
    return this.#answers;
  }

  get longestGapMs(): number {
    return this.#longestGapMs;
  }

  /** An answer came. Returns the gap that it ends, if that is longer than the threshold. */
  answer(atMs: number): Gap | undefined {
    const gap = this.openGap(atMs);
    this.#lastAnswerMs = atMs;
    this.#answers += 1;
    return gap;
  }

  /** The gap that is open at this time, if it is longer than the threshold already. */
  openGap(atMs: number): Gap | undefined {
    if (this.#lastAnswerMs === undefined) return undefined;
    const gapMs = atMs - this.#lastAnswerMs;
    this.#longestGapMs = Math.max(this.#longestGapMs, gapMs);
    return gapMs > this.#thresholdMs ? { fromMs: this.#lastAnswerMs, toMs: atMs, gapMs } : undefined;
  }
}
