/**
 * The RAM blocks of a stream: MEM_SIZE's list of them, (u8 length + name, size64) each, and the way from a name to one. With
 * the capability postcopy-ram the size of a block's pages, 64 bits, follows that of a block of huge pages (migration/ram.c,
 * ram_save_setup).
 */
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from './handler.ts';
import { incomplete, type ItemStop, stoppedBy, malformed } from './obstacles.ts';

/** More blocks than any VM has; without a cap, blocks of length 0 could follow one another for ever. */
const maxBlocks = 65_536;
/** Largest huge page of x86. */
const maxPageBytes = 2n ** 30n;
const pageSizeFieldBytes = 8;

export class RamBlocks {
  readonly list: readonly RamBlock[];
  /** Names as they stand in the stream, by block index. */
  readonly names: readonly Buffer[];
  readonly #indexByName: ReadonlyMap<string, number>;

  constructor(list: readonly RamBlock[] = []) {
    this.list = list;
    this.names = list.map(({ name }) => Buffer.from(name, 'latin1'));
    this.#indexByName = new Map(list.map(({ name, index }) => [name, index]));
  }

  /**
   * Index of the block whose name stands in `buffer` from `start` to `end`, or -1.
   *
   * @param likely index of a block that is tried first
   */
  find(buffer: Buffer, start: number, end: number, likely: number): number {
    const name = this.names[likely];
    if (name !== undefined && buffer.compare(name, 0, name.length, start, end) === 0) return likely;
    return this.#indexByName.get(buffer.toString('latin1', start, end)) ?? -1;
  }
}

type RamBlocksStep =
  /** A block was read; the next one starts at `next`. */
  | { readonly is: 'read'; readonly next: number }
  /** All were read; what follows starts at `next`. */
  | { readonly is: 'complete'; readonly next: number; readonly blocks: RamBlocks }
  | ItemStop;

/** Reads the list block by block, so that no more than one need be at hand. */
export class RamBlocksReader {
  readonly #list: RamBlock[] = [];
  readonly #names = new Set<string>();
  readonly #mayHavePageSizes: boolean;
  #remainingBytes: number;

  /**
   * @param totalBytes length of all blocks
   * @param mayHavePageSizes after a block the size of its pages may follow
   */
  constructor(totalBytes: number, mayHavePageSizes: boolean) {
    this.#remainingBytes = totalBytes;
    this.#mayHavePageSizes = mayHavePageSizes;
  }

  /** Reads what starts at `at`, which is before `end`. */
  step(buffer: Buffer, at: number, end: number): RamBlocksStep {
    if (this.#remainingBytes === 0) return this.#complete(at);
    const nameBytes = buffer.readUInt8(at);
    const itemBytes = 1 + nameBytes + 8;
    // What follows is not shorter: another block, or a record and the section's footer.
    const neededBytes = itemBytes + (this.#mayHavePageSizes ? pageSizeFieldBytes : 0);
    if (end - at < neededBytes) return incomplete(neededBytes);
    const size = at + 1 + nameBytes;
    const lengthBytes = buffer.readUInt32BE(size) * 0x1_0000_0000 + buffer.readUInt32BE(size + 4);
    const name = buffer.toString('latin1', at + 1, size);
    const index = this.#list.length;
    this.#remainingBytes -= lengthBytes;
    if (
      this.#remainingBytes < 0 ||
      lengthBytes % pageSizeBytes !== 0 ||
      index === maxBlocks ||
      this.#names.has(name)
    ) {
      return stoppedBy(malformed(`RAM block "${name}" of ${lengthBytes} bytes`));
    }
    this.#list.push({ index, name, lengthBytes, pageCount: lengthBytes / pageSizeBytes });
    this.#names.add(name);
    const hasPageSize = this.#mayHavePageSizes && isPageSize(buffer.readBigUInt64BE(at + itemBytes));
    const next = at + itemBytes + (hasPageSize ? pageSizeFieldBytes : 0);
    return this.#remainingBytes > 0 ? { is: 'read', next } : this.#complete(next);
  }

  #complete(next: number): RamBlocksStep {
    return { is: 'complete', next, blocks: new RamBlocks(this.#list) };
  }
}

/** No name begins so, since it would be empty, and no record, since it would have no flags. */
function isPageSize(value: bigint): boolean {
  return value > BigInt(pageSizeBytes) && value <= maxPageBytes && (value & (value - 1n)) === 0n;
}
