/**
 * Lets a VM that dirties its memory faster than the link carries it switch over after all: once nothing is pending, every few
 * passes that did not converge raise QEMU's downtime limit by a quarter, up to a most. QEMU takes the parameter at any time.
 * Pure.
 */

/** Passes in which QEMU may converge by itself first. */
const freePasses = 10;
const passesPerStep = 5;
const stepFactor = 1.25;

export class DowntimeSteps {
  readonly #maxMs: number;
  #limitMs: number;
  #nextAtPass: number | undefined;

  /**
   * @param limitMs what QEMU was told first
   * @param maxMs never more than this; a most below `limitMs` raises nothing
   */
  constructor(limitMs: number, maxMs: number) {
    this.#limitMs = limitMs;
    this.#maxMs = maxMs;
  }

  /**
   * Takes the number of passes so far (dirty-sync-count), once the switchover may come; gives the limit that QEMU is to be
   * told, in ms, if that has changed.
   */
  update(passes: number): number | undefined {
    this.#nextAtPass ??= passes + freePasses;
    if (passes < this.#nextAtPass || this.#limitMs >= this.#maxMs) return undefined;
    this.#nextAtPass = passes + passesPerStep;
    this.#limitMs = Math.min(Math.round(this.#limitMs * stepFactor), this.#maxMs);
    return this.#limitMs;
  }
}
