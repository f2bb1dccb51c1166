/** A target in postcopy-paused, as far as its memory goes: it takes each page once and at most once, and checks what it gets. */
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from '../stream/handler.ts';
import { ramFlag, returnPathMessage, sectionType, streamCommand } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import { encodeReceivedBitmap } from '../stream/testing/received-bitmap.ts';

export const ramSectionId = 2;

export function blocksOf(pageCounts: readonly number[]): readonly RamBlock[] {
  return pageCounts.map((pageCount, index) => ({
    ...{ index, name: `block${index}`, pageCount },
    lengthBytes: pageCount * pageSizeBytes,
  }));
}

const zeroPage = Buffer.alloc(pageSizeBytes);

export class PlayedTarget {
  readonly answers: Buffer[] = [];
  /** What it got, in order. */
  readonly got: string[] = [];
  ended = false;
  readonly #blocks: readonly RamBlock[];
  readonly #has: readonly Set<number>[];
  readonly #contentOf: (block: number, page: number) => Buffer;
  #stream = Buffer.alloc(0);

  /** @param contentOf what its VM has left */
  constructor(
    blocks: readonly RamBlock[],
    has: readonly Set<number>[],
    contentOf: (block: number, page: number) => Buffer,
  ) {
    this.#blocks = blocks;
    this.#has = has;
    this.#contentOf = contentOf;
  }

  get missing(): number {
    return this.#blocks.reduce(
      (sum, { index, pageCount }) => sum + pageCount - (this.#has[index]?.size ?? 0),
      0,
    );
  }

  /** Takes bytes cut anywhere. */
  take(bytes: Buffer): void {
    this.#stream = Buffer.concat([this.#stream, bytes]);
    for (;;) {
      const end = this.#section();
      if (end === undefined) return;
      this.#stream = this.#stream.subarray(end);
    }
  }

  /** Takes the section at the beginning. Returns where it ends; undefined if it is not whole. */
  #section(): number | undefined {
    const stream = this.#stream;
    if (stream.length === 0) return undefined;
    const type = stream.readUInt8(0);
    if (type === sectionType.endOfFile) {
      if (this.missing > 0) throw new Error('it ends before all is there');
      this.ended = true;
      this.answers.push(encodeReturnPathMessage({ type: returnPathMessage.shut, data: Buffer.alloc(4) }));
      return 1;
    }
    if (![sectionType.command, sectionType.part, sectionType.end].some((one) => one === type))
      throw new Error(`a section of type ${type}`);
    try {
      return type === sectionType.command ? this.#command() : this.#part();
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  #command(): number {
    const command = this.#stream.readUInt16BE(1);
    const end = 5 + this.#stream.readUInt16BE(3);
    if (this.#stream.length < end) throw new RangeError('cut');
    const data = this.#stream.subarray(5, end);
    if (command === streamCommand.receivedBitmap) this.#answerBitmap(data.toString('latin1', 1));
    else if (command === streamCommand.postcopyResume) {
      const value = Buffer.from('00000001', 'hex');
      this.answers.push(encodeReturnPathMessage({ type: returnPathMessage.resumeAck, data: value }));
    } else throw new Error(`command ${command}`);
    return end;
  }

  #answerBitmap(name: string): void {
    const block = this.#blocks.find((one) => one.name === name);
    if (block === undefined) throw new Error(`a block "${name}"`);
    const bits = Buffer.alloc(Math.ceil(block.pageCount / 64) * 8);
    for (const page of this.#has[block.index] ?? [])
      bits[page >>> 3] = (bits[page >>> 3] ?? 0) | (1 << (page & 7));
    this.answers.push(encodeReceivedBitmap(name, bits));
  }

  #part(): number {
    const stream = this.#stream;
    const records: { readonly block: number; readonly page: number; readonly content: Buffer }[] = [];
    if (stream.readUInt32BE(1) !== ramSectionId) throw new Error('another section');
    let at = 5;
    let block = -1;
    for (;;) {
      const high = stream.readUInt32BE(at);
      const low = stream.readUInt32BE(at + 4);
      at += 8;
      const flags = low & 0xfff;
      if ((flags & ramFlag.endOfSection) !== 0) break;
      if ((flags & ramFlag.sameBlock) === 0) {
        const nameBytes = stream.readUInt8(at);
        const name = stream.toString('latin1', at + 1, at + 1 + nameBytes);
        at += 1 + nameBytes;
        if (at > stream.length) throw new RangeError('cut');
        block = this.#blocks.findIndex((one) => one.name === name);
      }
      const isZero = (flags & ramFlag.zero) !== 0;
      const end = at + (isZero ? 1 : pageSizeBytes);
      if (end > stream.length) throw new RangeError('cut');
      const content = stream.subarray(at, end);
      records.push({ block, page: high * 0x100000 + (low >>> 12), content });
      at = end;
    }
    if (stream.readUInt8(at) !== sectionType.footer) throw new Error('no footer');
    stream.readUInt32BE(at + 1);
    for (const record of records) this.#take(record);
    return at + 5;
  }

  #take({
    block,
    page,
    content,
  }: {
    readonly block: number;
    readonly page: number;
    readonly content: Buffer;
  }): void {
    const expected = this.#contentOf(block, page);
    if ((content.length === 1) !== expected.equals(zeroPage))
      throw new Error(`page ${page} of block ${block} is sent as another kind`);
    if (content.length === 1 ? content[0] !== 0 : !content.equals(expected))
      throw new Error(`other content of page ${page} of block ${block}`);
    const has = this.#has[block];
    if (has === undefined || has.has(page)) throw new Error(`page ${page} of block ${block} comes twice`);
    has.add(page);
    this.got.push(`${block}:${page}`);
  }
}
