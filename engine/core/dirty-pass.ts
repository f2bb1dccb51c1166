/**
 * Recognises in QEMU's stream that it has sent, once, what the guest had dirtied up to the moment when it was let go. It walks
 * memory upwards, round after round (migration/ram.c, find_dirty_block), and looks for dirty pages wherever it is when little
 * is left of those that it knows: at the latest when it is back where it was held. From there, one more round sends them all.
 * A part of the RAM section without a page says that nothing is dirty.
 */

/** What was read so soon after QEMU was let go may have waited in its socket, from before. */
const graceMs = 100;

export class DirtyPass {
  #begunAtMs: number | undefined;
  #nowMs = 0;
  /** Place of the last record. */
  #block = -1;
  #page = -1;
  /** Of the last one before QEMU was let go. */
  #heldBlock = -1;
  #heldPage = -1;
  /** Steps back in memory since then: each begins another round. */
  #stepsBack = 0;
  #partHasPages = false;
  #through = false;
  #firstPassOver = false;

  /** QEMU is let go; nothing happens if it was already. */
  begin(nowMs: number): void {
    if (this.#begunAtMs !== undefined) return;
    this.#begunAtMs = nowMs;
    this.#nowMs = nowMs;
    this.#heldBlock = this.#block;
    this.#heldPage = this.#page;
  }

  /** QEMU waits again. */
  end(): void {
    this.#begunAtMs = undefined;
    this.#stepsBack = 0;
    this.#through = false;
  }

  /** The time of the records and ends that follow. */
  at(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  record(blockIndex: number, page: number): void {
    const isBack = isBeyond(this.#block, this.#page, blockIndex, page);
    if (isBack) this.#firstPassOver = true;
    this.#block = blockIndex;
    this.#page = page;
    this.#partHasPages = true;
    if (this.#begunAtMs === undefined) return;
    // Several rounds may have waited.
    if (isBack) this.#stepsBack = this.#isLate ? this.#stepsBack + 1 : 1;
    if (this.#stepsBack < 2) return;
    if (this.#stepsBack > 2 || isBeyond(blockIndex, page, this.#heldBlock, this.#heldPage)) {
      this.#through = true;
    }
  }

  /** A part of the RAM section has ended. */
  partEnds(): void {
    if (!this.#partHasPages && this.#isLate) this.#through = true;
    this.#partHasPages = false;
  }

  get through(): boolean {
    return this.#through;
  }

  /** Whether a record was of another pass than the first. */
  get firstPassOver(): boolean {
    return this.#firstPassOver;
  }

  get #isLate(): boolean {
    return this.#begunAtMs !== undefined && this.#nowMs >= this.#begunAtMs + graceMs;
  }
}

function isBeyond(block: number, page: number, otherBlock: number, otherPage: number): boolean {
  return block > otherBlock || (block === otherBlock && page > otherPage);
}
