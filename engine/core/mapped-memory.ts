/**
 * The RAM blocks that hold the guest's memory, as one: their pages are numbered through, with a number between two blocks that is
 * no page, so that pages with numbers that follow each other are of one block.
 */
import type { PageName } from '../wire/plan-codec.ts';
import type { MappedFrames } from './guest-memory-map.ts';
import type { GuestRam, PageHash } from './outside.ts';
import type { PageLedger } from './page-ledger.ts';

/** A block whose memory can be read. */
interface ReadableBlock {
  readonly blockIndex: number;
  readonly ledger: PageLedger;
  readonly ram: GuestRam;
}

interface NumberedBlock extends ReadableBlock {
  /** Number of its first page, and the one after its last. */
  readonly start: number;
  readonly end: number;
}

export class MappedMemory {
  readonly #blocks: readonly NumberedBlock[];
  readonly #ranges: readonly {
    readonly firstFrame: number;
    readonly endFrame: number;
    readonly start: number;
  }[];
  /** That the last page was of. */
  #last: NumberedBlock;
  #lastRange = 0;

  /**
   * @param map frames of blocks that cannot be read are left out
   * @param blocks at least one
   */
  constructor(map: readonly MappedFrames[], blocks: readonly [ReadableBlock, ...ReadableBlock[]]) {
    let start = 0;
    const numbered = blocks.map((block): NumberedBlock => {
      const end = start + block.ledger.pageCount;
      const result = { ...block, start, end };
      start = end + 1;
      return result;
    });
    this.#blocks = numbered;
    this.#last = numbered[0] ?? { ...blocks[0], start: 0, end: 0 };
    this.#ranges = map.flatMap(({ firstFrame, pages, blockIndex, firstPage }) => {
      const block = numbered.find((candidate) => candidate.blockIndex === blockIndex);
      if (block === undefined) return [];
      const inBlock = Math.min(pages, block.ledger.pageCount - firstPage);
      return inBlock <= 0
        ? []
        : [{ firstFrame, endFrame: firstFrame + inBlock, start: block.start + firstPage }];
    });
  }

  get hasher(): PageHash {
    return this.#last.ledger.hasher;
  }

  /** Number of the page that a guest-physical frame is; -1 if it is none of these blocks'. */
  pageOf(frame: number): number {
    for (let i = 0; i < this.#ranges.length; i++) {
      const range = this.#ranges[this.#lastRange];
      if (range !== undefined && frame >= range.firstFrame && frame < range.endFrame)
        return range.start + frame - range.firstFrame;
      this.#lastRange = (this.#lastRange + 1) % this.#ranges.length;
    }
    return -1;
  }

  nameOf(page: number): PageName {
    const { blockIndex, start } = this.#blockOf(page);
    return { blockIndex, pageIndex: page - start };
  }

  /** Number of a page; -1 if it is none of these blocks'. */
  numberOf({ blockIndex, pageIndex }: PageName): number {
    const block = this.#blocks.find((candidate) => candidate.blockIndex === blockIndex);
    return block === undefined || pageIndex >= block.ledger.pageCount ? -1 : block.start + pageIndex;
  }

  /** Pages from `page` on, all of one block. @throws CodedError 'source', 'guest-ram' */
  read(page: number, count: number, into: Buffer, offset: number): void {
    const { ram, start } = this.#blockOf(page);
    ram.read(page - start, count, into, offset);
  }

  state(page: number): number {
    const { ledger, start } = this.#blockOf(page);
    return ledger.state(page - start);
  }

  /** As PageLedger.list. */
  list(page: number): boolean {
    const { ledger, start } = this.#blockOf(page);
    return ledger.list(page - start);
  }

  plan(page: number, low: number, high: number): void {
    const { ledger, start } = this.#blockOf(page);
    ledger.plan(page - start, low, high);
  }

  drop(page: number): void {
    const { ledger, start } = this.#blockOf(page);
    ledger.drop(page - start);
  }

  #blockOf(page: number): NumberedBlock {
    if (page >= this.#last.start && page < this.#last.end) return this.#last;
    const block = this.#blocks.find(({ start, end }) => page >= start && page < end);
    if (block === undefined) throw new Error(`page ${page} is of no block`);
    this.#last = block;
    return block;
  }
}
