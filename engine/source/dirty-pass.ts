/**
 * Recognises in QEMU's stream that it has sent, once, what the guest had dirtied up to the moment when it was let go. It walks
 * memory upwards (migration/ram.c, ram_find_and_save_block), so that a step back begins another pass; a part of the RAM
 * section without a page says that nothing is dirty.
 */

/** What was read so soon after QEMU was let go may have waited in its socket, from before. */
const graceMs = 100;

export class DirtyPass {
  #begunAtMs: number | undefined;
  #nowMs = 0;
  #lastBlock = -1;
  #lastPage = -1;
  #stepsBack = 0;
  #partHasPages = false;
  #through = false;

  /** QEMU is let go. */
  begin(nowMs: number): void {
    this.#begunAtMs ??= nowMs;
    this.#nowMs = nowMs;
  }

  /** The time of the records and ends that follow. */
  at(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  record(blockIndex: number, page: number): void {
    const back = blockIndex < this.#lastBlock || (blockIndex === this.#lastBlock && page < this.#lastPage);
    this.#lastBlock = blockIndex;
    this.#lastPage = page;
    this.#partHasPages = true;
    if (!back || this.#begunAtMs === undefined) return;
    // The first step back ends an earlier pass; several of them may have waited.
    this.#stepsBack = this.#isLate ? this.#stepsBack + 1 : 1;
    if (this.#stepsBack > 1) this.#through = true;
  }

  /** A part of the RAM section has ended. */
  partEnds(): void {
    if (!this.#partHasPages && this.#isLate) this.#through = true;
    this.#partHasPages = false;
  }

  get through(): boolean {
    return this.#through;
  }

  get #isLate(): boolean {
    return this.#begunAtMs !== undefined && this.#nowMs >= this.#begunAtMs + graceMs;
  }
}
