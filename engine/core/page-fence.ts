/**
 * Which pages may be written into the target's memory behind the back of its loader (docs/engine-design.md, Placement). A page may
 * not while an older record of it can still be on its way through the target QEMU, which would overwrite the newer content.
 * A PING in the stream is answered by a PONG on the return path when everything before it was loaded.
 *
 *   free --record of it handed on--> forwarded --PING handed on--> before the PING --its PONG--> free
 *                                        ^                                  |
 *                                        +------record of it handed on------+
 */
export class PageFence {
  /** Pages of which a record was handed on since the last PING, and those of which the last one came before the PING. */
  #forwarded: Uint8Array;
  #beforePing: Uint8Array;
  #pingUnderWay = false;
  #isWanted = false;

  constructor(pageCount: number) {
    const bytes = Math.ceil(pageCount / 8);
    this.#forwarded = new Uint8Array(bytes);
    this.#beforePing = new Uint8Array(bytes);
  }

  /** A record of the page goes to the target: all of them are to be told, in the order of the stream. */
  forward(page: number): void {
    const at = page >>> 3;
    this.#forwarded[at] = (this.#forwarded[at] ?? 0) | (1 << (page & 7));
  }

  /** Whether no record of the page can be on its way. */
  isFree(page: number): boolean {
    const at = page >>> 3;
    const free = (((this.#forwarded[at] ?? 0) | (this.#beforePing[at] ?? 0)) & (1 << (page & 7))) === 0;
    if (!free) this.#isWanted = true;
    return free;
  }

  /** Whether a PING would be of use: a page was not free since the last one, and none is under way. */
  get wantsPing(): boolean {
    return this.#isWanted && !this.#pingUnderWay;
  }

  /** A PING goes to the target, behind all records that were told. One at a time. */
  ping(): void {
    if (this.#pingUnderWay) throw new Error('a PING is under way');
    [this.#beforePing, this.#forwarded] = [this.#forwarded, this.#beforePing];
    this.#pingUnderWay = true;
    this.#isWanted = false;
  }

  /** Its PONG has come. */
  pong(): void {
    this.#pingUnderWay = false;
    this.#beforePing.fill(0);
  }
}
