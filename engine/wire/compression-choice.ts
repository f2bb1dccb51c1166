/**
 * Whether frames are compressed, by trying: compression pays where the link is what is scarce, and takes the processors' time in
 * vain where they are. Pure: time comes with the calls.
 *
 * Compressed is how it begins. While the link then runs dry, plain is tried for a moment; while plain frames keep the link full,
 * compressed is. What carries more payload stays, and the next trial waits: for twice as long each time it changed nothing.
 */

/** How frames have gone since the last change, and how they go from now on; payload before compression, in both ways. */
export interface CompressionChange {
  readonly compresses: boolean;
  readonly compressedBytesPerSecond: number;
  readonly plainBytesPerSecond: number;
}

/** What a rate is measured over, at least. */
const measuredMs = 250;
const measuredBytes = 2 * 1024 * 1024;
/** Frames of the way before are still on their way for so long after a change. */
const settlingMs = 100;
const firstTrialAfterMs = 250;
const maxTrialAfterMs = 30_000;
/** A link that has next to nothing to carry this often is not what is scarce. */
const dryShare = 0.3;
/** Compressing must carry so much more than not doing it: it takes time from the guest and from whoever loads the pages. */
const worthwhile = 1.1;

export class CompressionChoice {
  /** How frames go now, also in a trial. */
  compresses = true;
  #chosen = true;
  /** Bytes per second, of the last measurement of each way. */
  readonly #rates = { compressed: 0, plain: 0 };
  #settledMs = 0;
  #fromMs: number | undefined;
  #bytes = 0;
  #calls = 0;
  #dryCalls = 0;
  #trialAfterMs = firstTrialAfterMs;
  #nextTrialMs: number | undefined;

  /**
   * Frames went to the link, or might have.
   *
   * @param payloadBytes of those that went, before compression
   * @param dry whether the link had next to nothing to carry
   * @returns what was chosen, where that is a change
   */
  went(payloadBytes: number, dry: boolean, nowMs: number): CompressionChange | undefined {
    this.#nextTrialMs ??= nowMs + this.#trialAfterMs;
    if (nowMs < this.#settledMs) return undefined;
    if (this.#fromMs === undefined) {
      this.#fromMs = nowMs;
      return undefined;
    }
    this.#bytes += payloadBytes;
    this.#calls += 1;
    if (dry) this.#dryCalls += 1;
    const elapsedMs = nowMs - this.#fromMs;
    if (elapsedMs < measuredMs || this.#bytes < measuredBytes) return undefined;
    this.#rates[this.compresses ? 'compressed' : 'plain'] = (this.#bytes / elapsedMs) * 1000;
    const runsDry = this.#dryCalls >= this.#calls * dryShare;
    this.#measureFrom(nowMs);
    if (this.compresses !== this.#chosen) return this.#judge(nowMs);
    if (nowMs >= this.#nextTrialMs && runsDry === this.compresses) this.#goOn(!this.compresses, nowMs);
    return undefined;
  }

  #judge(nowMs: number): CompressionChange | undefined {
    const { compressed, plain } = this.#rates;
    const better = compressed > plain * worthwhile;
    const changes = better !== this.#chosen;
    this.#trialAfterMs = changes ? firstTrialAfterMs : Math.min(maxTrialAfterMs, this.#trialAfterMs * 2);
    this.#nextTrialMs = nowMs + this.#trialAfterMs;
    this.#chosen = better;
    this.#goOn(better, nowMs);
    if (!changes) return undefined;
    return {
      compresses: better,
      compressedBytesPerSecond: Math.round(compressed),
      plainBytesPerSecond: Math.round(plain),
    };
  }

  #goOn(compresses: boolean, nowMs: number): void {
    if (compresses === this.compresses) return;
    this.compresses = compresses;
    this.#settledMs = nowMs + settlingMs;
    this.#measureFrom(undefined);
  }

  /** @param ms undefined: from the next call on, once what was before has gone */
  #measureFrom(ms: number | undefined): void {
    this.#fromMs = ms;
    this.#bytes = 0;
    this.#calls = 0;
    this.#dryCalls = 0;
  }
}
