/** A set of page numbers below a limit: one bit a page. */
export class PageSet {
  readonly #pageCount: number;
  readonly #bits: Uint8Array;

  constructor(pageCount: number) {
    this.#pageCount = pageCount;
    this.#bits = new Uint8Array(Math.ceil(pageCount / 8));
  }

  copy(): PageSet {
    const set = new PageSet(this.#pageCount);
    set.#bits.set(this.#bits);
    return set;
  }

  has(page: number): boolean {
    return ((this.#bits[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  /** Returns false if the page was in already. */
  add(page: number): boolean {
    if (this.has(page)) return false;
    this.#bits[page >>> 3] = (this.#bits[page >>> 3] ?? 0) | (1 << (page & 7));
    return true;
  }

  /** Returns false if the page was not in. */
  delete(page: number): boolean {
    if (!this.has(page)) return false;
    this.#bits[page >>> 3] = (this.#bits[page >>> 3] ?? 0) & ~(1 << (page & 7));
    return true;
  }

  /** Whether all pages below the limit are in this set, but for those that are in `others` and not in `excepted`. */
  lacksOnly(others: PageSet, excepted: PageSet): boolean {
    const whole = Math.floor(this.#pageCount / 8);
    for (let at = 0; at < this.#bits.length; at++) {
      const limit = at < whole ? 0xff : (1 << (this.#pageCount & 7)) - 1;
      const open = (others.#bits[at] ?? 0) & ~(excepted.#bits[at] ?? 0);
      if ((~(this.#bits[at] ?? 0) & ~open & limit) !== 0) return false;
    }
    return true;
  }
}
