/**
 * The page records of the RAM section: leaves out the pages that the handler refuses, and names a record's block again
 * where the record that named it was left out.
 */
import { pageSizeBytes } from '../list/page-list.ts';
import type { FilteredOutput } from './filtered-output.ts';
import type { StreamCounters, StreamHandler } from './handler.ts';
import { type ItemStop, stoppedBy, malformed } from './obstacles.ts';
import { RamBlocks } from './ram-blocks.ts';
import { deltaEncoding, deltaHeaderBytes, ramFlag, shortHeaderBytes } from './records.ts';
import { recordHeaderRoomBytes, writeRecordHeader } from './writer.ts';

/** The record at which reading stopped, and why. */
type PageRecordsStop = { readonly at: number } & (
  | ItemStop
  /** It is not a page. */
  | { readonly is: 'other-record'; readonly flags: number }
);

export class PageRecords {
  /** The RAM blocks; none before they are known. */
  blocks = new RamBlocks();
  readonly #handler: StreamHandler;
  readonly #output: FilteredOutput;
  readonly #counters: StreamCounters;
  /** Index of the block that "the same block" means in the input. */
  #inputBlock = -1;
  readonly #header = Buffer.allocUnsafeSlow(recordHeaderRoomBytes);

  constructor(handler: StreamHandler, output: FilteredOutput, counters: StreamCounters) {
    this.#handler = handler;
    this.#output = output;
    this.#counters = counters;
  }

  /**
   * The record at `at`, whose header is whole, and all that follow it are handed on as they are: "the same block" must mean to
   * the receiver what it means in the input.
   */
  nameBlockAgain(buffer: Buffer, at: number, flags: number): void {
    const output = this.#output;
    const block = this.#inputBlock;
    if ((flags & ramFlag.sameBlock) === 0 || output.sameBlock === block || block < 0) return;
    output.sameBlock = block;
    output.handOn(buffer, at);
    const pageIndex = buffer.readUInt32BE(at) * 0x100000 + (buffer.readUInt32BE(at + 4) >>> 12);
    const headerBytes = writeRecordHeader(
      this.#header,
      0,
      pageIndex,
      flags & ~ramFlag.sameBlock,
      this.blocks.names[block],
    );
    output.insert(this.#header, headerBytes);
    output.leaveOut(at + shortHeaderBytes);
  }

  /** Reads a run of page records. */
  read(buffer: Buffer, start: number, end: number): PageRecordsStop {
    const handler = this.#handler;
    const output = this.#output;
    const counters = this.#counters;
    const blocks = this.blocks;
    let at = start;
    for (;;) {
      if (end - at < shortHeaderBytes) return { is: 'incomplete', at, neededBytes: shortHeaderBytes };
      const low = buffer.readUInt32BE(at + 4);
      const flags = low & 0xfff;
      const type = flags & ~ramFlag.sameBlock;
      if (type !== ramFlag.page && type !== ramFlag.zero && type !== ramFlag.xbzrle)
        return { is: 'other-record', at, flags };
      let data = at + shortHeaderBytes;
      let block = this.#inputBlock;
      if (flags === type) {
        if (end <= data) return { is: 'incomplete', at, neededBytes: shortHeaderBytes + 1 };
        const nameBytes = buffer.readUInt8(data);
        data += 1 + nameBytes;
        if (end < data) return { is: 'incomplete', at, neededBytes: data - at };
        block = blocks.find(buffer, data - nameBytes, data, block);
        if (block < 0) return { at, ...stoppedBy(malformed('a page of a RAM block that was not announced')) };
      }
      let dataBytes = type === ramFlag.page ? pageSizeBytes : 1;
      if (type === ramFlag.xbzrle) {
        const neededBytes = data + deltaHeaderBytes - at;
        if (end - at < neededBytes) return { is: 'incomplete', at, neededBytes };
        const lengthBytes = buffer.readUInt16BE(data + 1);
        if (buffer.readUInt8(data) !== deltaEncoding || lengthBytes > pageSizeBytes)
          return { at, ...stoppedBy(malformed('a page is sent as no difference that QEMU makes')) };
        dataBytes = deltaHeaderBytes + lengthBytes;
      }
      const next = data + dataBytes;
      if (end < next) return { is: 'incomplete', at, neededBytes: next - at };
      const pageIndex = buffer.readUInt32BE(at) * 0x100000 + (low >>> 12);
      // A block of -1 (no record before it, or no blocks known) fails here too.
      if (!(pageIndex < (blocks.list[block]?.pageCount ?? 0))) {
        return { at, ...stoppedBy(malformed(`page ${pageIndex} is outside of its RAM block`)) };
      }
      this.#inputBlock = block;
      let kept = true;
      if (type === ramFlag.page) {
        counters.pages += 1;
        if (handler.page !== undefined) kept = handler.page(block, pageIndex, buffer, data);
        // The capability compress shows only at the second page: the first of a block is sent as it is. Keeping the
        // very first means that nothing was left out when it shows, so that the stream can still be passed through.
        if (counters.pages === 1) kept = true;
      } else if (type === ramFlag.zero) {
        counters.zeroPages += 1;
        if (handler.zeroPage !== undefined) kept = handler.zeroPage(block, pageIndex);
      } else {
        counters.pageDeltas += 1;
        handler.pageDelta?.(block, pageIndex);
      }
      if (!kept) {
        counters.pagesLeftOut += 1;
        output.handOn(buffer, at);
        output.leaveOut(next);
        handler.pageLeftOut?.(block, pageIndex);
      } else if (output.sameBlock !== block) {
        output.sameBlock = block;
        if (flags !== type) {
          // "The same block" means another one in the output, because the record that named it was left out, or
          // because another block's page was injected: name it again.
          output.handOn(buffer, at);
          const headerBytes = writeRecordHeader(this.#header, 0, pageIndex, type, blocks.names[block]);
          output.insert(this.#header, headerBytes);
          output.leaveOut(data);
        }
      }
      at = next;
    }
  }
}
