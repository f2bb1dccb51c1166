/**
 * Hashes of single pages, anywhere in memory: 12 bytes each in a table with open addressing, which grows and shrinks with
 * the pages that are in it. A Map would take several times as much.
 */

const minSlots = 1024;
/** Words of a slot: page + 1 (0: free), low and high half of the hash. */
const slotWords = 3;

export class PageHashes {
  #table = new Uint32Array(minSlots * slotWords);
  #slots = minSlots;
  /** The top bits of a product of 32 bits that name a slot. */
  #shift = 32 - Math.log2(minSlots);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Memory that is held. */
  get bytes(): number {
    return this.#table.byteLength;
  }

  set(page: number, low: number, high: number): void {
    const slot = this.#find(page);
    if (this.#table[slot * slotWords] === 0) {
      this.#count += 1;
      if (this.#count > this.#slots * 0.75) {
        this.#resize(this.#slots * 2);
        this.#write(this.#find(page), page + 1, low, high);
        return;
      }
    }
    this.#write(slot, page + 1, low, high);
  }

  /** Whether the page is here with this hash. */
  has(page: number, low: number, high: number): boolean {
    const at = this.#find(page) * slotWords;
    return this.#table[at] === page + 1 && this.#table[at + 1] === low && this.#table[at + 2] === high;
  }

  delete(page: number): void {
    let free = this.#find(page);
    if (this.#table[free * slotWords] === 0) return;
    // Whatever came to stand behind it, because its own slot was taken, moves forward.
    for (let next = this.#after(free); ; next = this.#after(next)) {
      const key = this.#table[next * slotWords] ?? 0;
      if (key === 0) break;
      const distance = (next - this.#home(key - 1)) & (this.#slots - 1);
      if (distance < ((next - free) & (this.#slots - 1))) continue;
      this.#table.copyWithin(free * slotWords, next * slotWords, (next + 1) * slotWords);
      free = next;
    }
    this.#table[free * slotWords] = 0;
    this.#count -= 1;
    if (this.#slots > minSlots && this.#count < this.#slots / 8) this.#resize(this.#slots / 2);
  }

  /** The page's slot, or the free one where it belongs. */
  #find(page: number): number {
    let slot = this.#home(page);
    for (;;) {
      const key = this.#table[slot * slotWords];
      if (key === page + 1 || key === 0) return slot;
      slot = this.#after(slot);
    }
  }

  /** Neighbours are spread: Fibonacci hashing. */
  #home(page: number): number {
    return Math.imul(page, 0x9e3779b1) >>> this.#shift;
  }

  #after(slot: number): number {
    return (slot + 1) & (this.#slots - 1);
  }

  #write(slot: number, key: number, low: number, high: number): void {
    this.#table[slot * slotWords] = key;
    this.#table[slot * slotWords + 1] = low;
    this.#table[slot * slotWords + 2] = high;
  }

  #resize(slots: number): void {
    const old = this.#table;
    this.#table = new Uint32Array(slots * slotWords);
    this.#slots = slots;
    this.#shift = 32 - Math.log2(slots);
    for (let at = 0; at < old.length; at += slotWords) {
      const key = old[at] ?? 0;
      if (key !== 0) this.#write(this.#find(key - 1), key, old[at + 1] ?? 0, old[at + 2] ?? 0);
    }
  }
}
