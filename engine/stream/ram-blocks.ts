/** The RAM blocks of a stream: MEM_SIZE's list of them, (u8 length + name, size64) each, and the way from a name to one. */
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from './handler.ts';
import { incomplete, type ItemStop, stoppedBy, malformed } from './obstacles.ts';

/** More blocks than any VM has; without a cap, blocks of length 0 could follow one another for ever. */
const maxBlocks = 65_536;

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
  #remainingBytes: number;

  /** @param totalBytes length of all blocks */
  constructor(totalBytes: number) {
    this.#remainingBytes = totalBytes;
  }

  /** Reads what starts at `at`, which is before `end`. */
  step(buffer: Buffer, at: number, end: number): RamBlocksStep {
    if (this.#remainingBytes === 0) return this.#complete(at);
    const nameBytes = buffer.readUInt8(at);
    const itemBytes = 1 + nameBytes + 8;
    if (end - at < itemBytes) return incomplete(itemBytes);
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
    const next = at + itemBytes;
    return this.#remainingBytes > 0 ? { is: 'read', next } : this.#complete(next);
  }

  #complete(next: number): RamBlocksStep {
    return { is: 'complete', next, blocks: new RamBlocks(this.#list) };
  }
}
