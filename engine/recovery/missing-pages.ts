/** Pages that the target of a broken post-copy has not, and in which order it gets them. */
import { PageSet } from '../core/page-set.ts';

/** Pages `first` to `end`, which is not one of them. */
export interface PageRange {
  readonly block: number;
  readonly first: number;
  readonly end: number;
}

interface Block {
  readonly pageCount: number;
  readonly missing: PageSet;
  missingCount: number;
  known: boolean;
}

export class MissingPages {
  readonly #blocks: readonly Block[];
  /** What the VM waits for, the longest first. */
  readonly #wanted: PageRange[] = [];
  /** Of the rest, all before it was taken. */
  #next = { block: 0, page: 0 };
  #count = 0;

  /** @param pageCounts of each RAM block */
  constructor(pageCounts: readonly number[]) {
    this.#blocks = pageCounts.map((pageCount) => ({
      ...{ pageCount, missingCount: 0, known: false },
      missing: new PageSet(pageCount),
    }));
  }

  /** Those that were not taken yet. */
  get count(): number {
    return this.#count;
  }

  /** Whether it is known of any block. */
  get isKnown(): boolean {
    return this.#blocks.some(({ known }) => known);
  }

  /** Whether it is known of all blocks. */
  get isWhollyKnown(): boolean {
    return this.#blocks.every(({ known }) => known);
  }

  ofBlock(block: number): number {
    return this.#blocks[block]?.missingCount ?? 0;
  }

  /** @param bits which pages of it the target has: bit n, counted from the lowest of the first byte on, is page n */
  received(blockIndex: number, bits: Uint8Array): void {
    const block = this.#blocks[blockIndex];
    if (block === undefined || block.known) return;
    block.known = true;
    for (let page = 0; page < block.pageCount; page += 1) {
      if (((bits[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0) continue;
      block.missing.add(page);
      block.missingCount += 1;
      this.#count += 1;
    }
  }

  /** The VM waits for pages among these. */
  wanted(range: PageRange): void {
    this.#wanted.push(range);
  }

  /** Whether it is missing and was not taken. */
  has(blockIndex: number, page: number): boolean {
    return this.#blocks[blockIndex]?.missing.has(page) === true;
  }

  /** The next page that is to be sent; undefined where there is none. */
  take(): { readonly block: number; readonly page: number } | undefined {
    for (let range = this.#wanted[0]; range !== undefined; range = this.#wanted[0]) {
      const { block, first, end } = range;
      for (let page = first; page < end; page += 1) if (this.takePage(block, page)) return { block, page };
      this.#wanted.shift();
    }
    while (this.#count > 0) {
      const { block, page } = this.#next;
      if (page < (this.#blocks[block]?.pageCount ?? 0)) {
        this.#next = { block, page: page + 1 };
        if (this.takePage(block, page)) return { block, page };
      } else this.#next = { block: block + 1, page: 0 };
    }
    return undefined;
  }

  /** Whether this page is to be sent: it is missing, and was not taken before. */
  takePage(blockIndex: number, page: number): boolean {
    const block = this.#blocks[blockIndex];
    if (block?.missing.delete(page) !== true) return false;
    block.missingCount -= 1;
    this.#count -= 1;
    return true;
  }
}
