/**
 * Incremental reader of QEMU's pre-copy stream. It leaves out the pages that its handler refuses and hands on everything
 * else verbatim, but for block names that have to be written again (docs/stream-format.md). Memory is constant: one
 * record, at most, is kept between two chunks.
 */
import { ConfigurationReader } from './configuration.ts';
import type {
  RamBlock,
  SectionKind,
  StreamCounters,
  StreamHandler,
  StreamOutput,
  StreamPosition,
} from './handler.ts';
import { pageSizeBytes } from '../pages/page-list.ts';
import {
  magicBytes,
  malformed,
  obstacleInCommand,
  obstacleInConfiguration,
  obstacleInMagic,
  obstacleInRecord,
  type Obstacle,
} from './obstacles.ts';
import {
  ramFlag,
  ramSectionName,
  ramSectionVersion,
  sectionTailBytes,
  sectionType,
  shortHeaderBytes,
} from './records.ts';
import { StreamError } from './stream-error.ts';
import { recordHeaderRoomBytes, writeRecordHeader } from './writer.ts';

export interface StreamReaderOptions {
  /**
   * Stop at the end of RAM's END section, before it is handed on, until `release` is called: the last moment at which
   * pages can be injected. Default false.
   */
  readonly holdAtEnd?: boolean;
  /** Throw when the stream cannot be filtered, instead of passing it through. Default false. */
  readonly refuseUnsupported?: boolean;
}

/** Longest item that is parsed in one piece: a page with a block name of 255 bytes. */
const longestItemBytes = recordHeaderRoomBytes + pageSizeBytes;

/** More blocks than any VM has; without a cap, blocks of length 0 could follow one another for ever. */
const mostBlocks = 65_536;

type State =
  | { readonly in: 'magic' }
  | { readonly in: 'configuration'; readonly reader: ConfigurationReader }
  | { readonly in: 'between-sections' }
  | { readonly in: 'command'; remainingBytes: number }
  | { readonly in: 'ram'; readonly kind: SectionKind }
  | { readonly in: 'block-sizes'; remainingBytes: number; readonly blocks: RamBlock[] }
  | { readonly in: 'held' }
  | { readonly in: 'device-state' }
  | { readonly in: 'pass-through' };

export class StreamReader {
  readonly counters: StreamCounters = {
    bytes: 0,
    pages: 0,
    zeroPages: 0,
    pagesLeftOut: 0,
    pagesInjected: 0,
    ramSections: 0,
  };
  /** The RAM blocks; empty before they are known. */
  blocks: readonly RamBlock[] = [];
  /** Names of the RAM blocks as they stand in the stream. */
  blockNames: readonly Buffer[] = [];
  /** Id of the RAM section; undefined before it starts. */
  ramSectionId: number | undefined;
  /**
   * Index of the block that the receiver of the output takes for "the same block"; -1 if there was none. Whoever writes
   * RAM records to the output beside the reader keeps it up to date.
   */
  outputBlock = -1;

  readonly #handler: StreamHandler;
  readonly #output: StreamOutput;
  readonly #options: StreamReaderOptions;
  #state: State = { in: 'magic' };
  /** Index of the block that "the same block" means in the input. */
  #inputBlock = -1;
  #blockIndexByName = new Map<string, number>();
  #endReleased = false;
  /** Start of the bytes of the buffer being parsed that were read but not handed on yet. */
  #from = 0;
  /** Bytes that the item at hand has at least; set by each step that returns `incomplete`. */
  #neededBytes = 0;
  /** An item that was cut by the end of a chunk. */
  readonly #cut = Buffer.allocUnsafeSlow(longestItemBytes);
  #cutBytes = 0;
  /** What was pushed but not parsed when the reader was held. */
  #heldBytes: Buffer = Buffer.alloc(0);
  readonly #header = Buffer.allocUnsafeSlow(recordHeaderRoomBytes);

  constructor(handler: StreamHandler, output: StreamOutput, options: StreamReaderOptions = {}) {
    this.#handler = handler;
    this.#output = output;
    this.#options = options;
  }

  get position(): StreamPosition {
    switch (this.#state.in) {
      case 'magic':
      case 'configuration':
        return 'header';
      case 'block-sizes':
        return 'ram';
      default:
        return this.#state.in;
    }
  }

  /** Whether a page record may be written to the output now, and if it needs a section of its own around it. */
  get placeForPages(): 'inside-section' | 'between-sections' | 'nowhere' {
    switch (this.#state.in) {
      case 'held':
        return 'inside-section';
      case 'ram':
        return this.#state.kind === 'start' ? 'nowhere' : 'inside-section';
      case 'between-sections':
        return this.blocks.length > 0 ? 'between-sections' : 'nowhere';
      default:
        return 'nowhere';
    }
  }

  /**
   * Takes the next bytes of the stream, cut anywhere. Returns false if the reader is held: nothing may be pushed until
   * `release` was called. The rest of the chunk is kept meanwhile.
   *
   * @throws StreamError 'unsupported' as described at StreamHandler.unsupported
   */
  push(chunk: Buffer): boolean {
    if (this.#state.in === 'held') throw new Error('push() while the reader is held');
    this.counters.bytes += chunk.length;
    return this.#take(chunk);
  }

  /** Lets RAM's END section end. Call it when `push` returned false. */
  release(): void {
    if (this.#state.in !== 'held') throw new Error('release() of a reader that is not held');
    this.#state = { in: 'ram', kind: 'end' };
    this.#endReleased = true;
    const rest = this.#heldBytes;
    this.#heldBytes = Buffer.alloc(0);
    this.#take(rest);
  }

  /**
   * To be called when the input has ended. Hands on what is left.
   *
   * @throws StreamError 'truncated' if the stream cannot have ended here
   */
  end(): void {
    if (this.#cutBytes > 0) this.#output(this.#cut, 0, this.#cutBytes);
    this.#cutBytes = 0;
    if (this.#state.in !== 'device-state' && this.#state.in !== 'pass-through') {
      throw new StreamError('truncated', `the migration stream ended at ${this.position}`);
    }
  }

  #take(chunk: Buffer): boolean {
    let at = 0;
    while (this.#cutBytes > 0) {
      // Complete just the item that was cut; what follows it is parsed where it lies.
      const taken = Math.min(this.#neededBytes - this.#cutBytes, chunk.length - at);
      chunk.copy(this.#cut, this.#cutBytes, at, at + taken);
      at += taken;
      this.#cutBytes += taken;
      if (this.#cutBytes < this.#neededBytes) return true;
      const used = this.#parse(this.#cut, 0, this.#cutBytes);
      if (this.#hold(this.#cut.subarray(used, this.#cutBytes), chunk.subarray(at))) return false;
      this.#cut.copyWithin(0, used, this.#cutBytes);
      this.#cutBytes -= used;
    }
    const used = this.#parse(chunk, at, chunk.length);
    if (this.#hold(chunk.subarray(used))) return false;
    this.#cutBytes = chunk.copy(this.#cut, 0, used);
    return true;
  }

  #hold(...rest: Buffer[]): boolean {
    if (this.#state.in !== 'held') return false;
    this.#heldBytes = Buffer.concat(rest);
    this.#cutBytes = 0;
    return true;
  }

  /** Parses whole items from `start` on; returns the position of the first that is not whole, or is held. */
  #parse(buffer: Buffer, start: number, end: number): number {
    let at = start;
    this.#from = start;
    while (at < end && this.#state.in !== 'held') {
      this.#neededBytes = 0;
      at = this.#step(buffer, at, end);
      if (this.#neededBytes > 0) break;
    }
    this.#handOn(buffer, at);
    return at;
  }

  /** Reads one item, or a run of RAM records; returns where the next one starts. */
  #step(buffer: Buffer, at: number, end: number): number {
    const state = this.#state;
    switch (state.in) {
      case 'ram':
        return this.#readRam(buffer, at, end, state.kind);
      case 'block-sizes':
        return this.#readBlockSize(buffer, at, end, state);
      case 'between-sections':
        return this.#readSectionHeader(buffer, at, end);
      case 'command': {
        const bytes = Math.min(state.remainingBytes, end - at);
        state.remainingBytes -= bytes;
        if (state.remainingBytes === 0) this.#state = { in: 'between-sections' };
        return at + bytes;
      }
      case 'magic':
        return this.#readMagic(buffer, at, end);
      case 'configuration':
        return this.#readConfiguration(buffer, at, end, state.reader);
      case 'held':
        return at;
      case 'device-state':
      case 'pass-through':
        return end;
    }
  }

  #readRam(buffer: Buffer, start: number, end: number, kind: SectionKind): number {
    const handler = this.#handler;
    const counters = this.counters;
    let at = start;
    for (;;) {
      if (end - at < shortHeaderBytes) return this.#incomplete(at, shortHeaderBytes);
      const low = buffer.readUInt32BE(at + 4);
      const flags = low & 0xfff;
      const type = flags & ~ramFlag.sameBlock;
      if (type !== ramFlag.page && type !== ramFlag.zero) {
        return this.#readOtherRecord(buffer, at, end, kind, flags);
      }
      let data = at + shortHeaderBytes;
      let block = this.#inputBlock;
      if (flags === type) {
        if (end <= data) return this.#incomplete(at, shortHeaderBytes + 1);
        const nameBytes = buffer.readUInt8(data);
        data += 1 + nameBytes;
        if (end < data) return this.#incomplete(at, data - at);
        block = this.#findBlock(buffer, data - nameBytes, data);
        if (block < 0) return this.#giveUp(at, malformed('a page of a RAM block that was not announced'));
      }
      const next = data + (type === ramFlag.page ? pageSizeBytes : 1);
      if (end < next) return this.#incomplete(at, next - at);
      const pageIndex = buffer.readUInt32BE(at) * 0x100000 + (low >>> 12);
      // A block of -1 (no record before it, or no blocks known) fails here too.
      if (!(pageIndex < (this.blocks[block]?.pageCount ?? 0))) {
        return this.#giveUp(at, malformed(`page ${pageIndex} is outside of its RAM block`));
      }
      this.#inputBlock = block;
      let kept = true;
      if (type === ramFlag.page) {
        counters.pages += 1;
        if (handler.page !== undefined) kept = handler.page(block, pageIndex, buffer, data);
        // The capability compress shows only at the second page: the first of a block is sent as it is. Keeping the
        // very first means that nothing was left out when it shows, so that the stream can still be passed through.
        if (counters.pages === 1) kept = true;
      } else {
        counters.zeroPages += 1;
        handler.zeroPage?.(block, pageIndex);
      }
      if (!kept) {
        counters.pagesLeftOut += 1;
        this.#handOn(buffer, at);
        this.#from = next;
        handler.pageLeftOut?.(block, pageIndex);
      } else if (this.outputBlock !== block) {
        this.outputBlock = block;
        if (flags !== type) {
          // "The same block" means another one in the output, because the record that named it was left out, or
          // because another block's page was injected: name it again.
          this.#handOn(buffer, at);
          const headerBytes = writeRecordHeader(this.#header, 0, pageIndex, type, this.blockNames[block]);
          this.#output(this.#header, 0, headerBytes);
          this.#from = data;
        }
      }
      at = next;
    }
  }

  /** Reads a RAM record that is not a page. */
  #readOtherRecord(buffer: Buffer, at: number, end: number, kind: SectionKind, flags: number): number {
    switch (flags & ~ramFlag.sameBlock) {
      case ramFlag.endOfSection: {
        // QEMU flushes after the end-of-section record but keeps the footer in its buffer. Handing the record on only
        // together with its footer keeps the place between the two from looking like one where pages may go.
        if (end - at < sectionTailBytes) return this.#incomplete(at, sectionTailBytes);
        const footer = at + shortHeaderBytes;
        if (
          buffer.readUInt8(footer) !== sectionType.footer ||
          buffer.readUInt32BE(footer + 1) !== this.ramSectionId
        ) {
          return this.#giveUp(at, malformed('the RAM section has no footer'));
        }
        if (kind === 'start' && this.blocks.length === 0) {
          return this.#giveUp(at, malformed('the RAM section starts without its blocks'));
        }
        if (kind === 'end' && this.#options.holdAtEnd === true && !this.#endReleased) {
          this.#state = { in: 'held' };
          return at;
        }
        const next = at + sectionTailBytes;
        this.#handOn(buffer, next);
        this.counters.ramSections += 1;
        this.#state = kind === 'end' ? { in: 'device-state' } : { in: 'between-sections' };
        this.#handler.ramSectionEnds?.(kind);
        if (kind === 'end') this.#handler.deviceState?.();
        return next;
      }
      case ramFlag.memorySize: {
        if (kind !== 'start' || this.blocks.length > 0) {
          return this.#giveUp(at, malformed('RAM blocks are announced again'));
        }
        const totalBytes = buffer.readUInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4) - flags;
        this.#state = { in: 'block-sizes', remainingBytes: totalBytes, blocks: [] };
        return at + shortHeaderBytes;
      }
      default:
        return this.#giveUp(at, obstacleInRecord(flags));
    }
  }

  #readBlockSize(
    buffer: Buffer,
    at: number,
    end: number,
    state: Extract<State, { in: 'block-sizes' }>,
  ): number {
    if (state.remainingBytes > 0) {
      const nameBytes = buffer.readUInt8(at);
      const itemBytes = 1 + nameBytes + 8;
      if (end - at < itemBytes) return this.#incomplete(at, itemBytes);
      const size = at + 1 + nameBytes;
      const lengthBytes = buffer.readUInt32BE(size) * 0x1_0000_0000 + buffer.readUInt32BE(size + 4);
      const name = buffer.toString('latin1', at + 1, size);
      const index = state.blocks.length;
      state.remainingBytes -= lengthBytes;
      if (
        state.remainingBytes < 0 ||
        lengthBytes % pageSizeBytes !== 0 ||
        index === mostBlocks ||
        this.#blockIndexByName.has(name)
      ) {
        return this.#giveUp(at, malformed(`RAM block "${name}" of ${lengthBytes} bytes`));
      }
      state.blocks.push({ index, name, lengthBytes, pageCount: lengthBytes / pageSizeBytes });
      this.#blockIndexByName.set(name, index);
      if (state.remainingBytes > 0) return at + itemBytes;
      at += itemBytes;
    }
    this.blocks = state.blocks;
    this.blockNames = state.blocks.map((block) => Buffer.from(block.name, 'latin1'));
    this.#state = { in: 'ram', kind: 'start' };
    this.#handler.ramBlocks?.(this.blocks);
    return at;
  }

  #readSectionHeader(buffer: Buffer, at: number, end: number): number {
    const type = buffer.readUInt8(at);
    switch (type) {
      case sectionType.start:
      case sectionType.full: {
        if (end - at < 6) return this.#incomplete(at, 6);
        const nameBytes = buffer.readUInt8(at + 5);
        const headerBytes = 6 + nameBytes + 8;
        if (end - at < headerBytes) return this.#incomplete(at, headerBytes);
        const name = buffer.toString('latin1', at + 6, at + 6 + nameBytes);
        const version = buffer.readUInt32BE(at + headerBytes - 4);
        if (type === sectionType.full) {
          return this.#giveUp(at, {
            reason: 'early-device-state',
            detail: `device "${name}" is saved before RAM is complete`,
          });
        }
        if (name !== ramSectionName || version !== ramSectionVersion || this.ramSectionId !== undefined) {
          return this.#giveUp(at, {
            reason: 'unknown-section',
            detail: `section "${name}" of version ${version}`,
          });
        }
        this.ramSectionId = buffer.readUInt32BE(at + 1);
        return this.#beginRamSection('start', at + headerBytes);
      }
      case sectionType.part:
      case sectionType.end: {
        if (end - at < 5) return this.#incomplete(at, 5);
        const id = buffer.readUInt32BE(at + 1);
        if (id !== this.ramSectionId)
          return this.#giveUp(at, { reason: 'unknown-section', detail: `section ${id} was not started` });
        return this.#beginRamSection(type === sectionType.part ? 'part' : 'end', at + 5);
      }
      case sectionType.command: {
        if (end - at < 5) return this.#incomplete(at, 5);
        return this.#readCommand(at, buffer.readUInt16BE(at + 1), buffer.readUInt16BE(at + 3));
      }
      default:
        return this.#giveUp(at, {
          reason: 'unknown-section',
          detail: `a section of type 0x${type.toString(16)}`,
        });
    }
  }

  #beginRamSection(kind: SectionKind, at: number): number {
    this.#state = { in: 'ram', kind };
    this.#handler.ramSectionBegins?.(kind);
    return at;
  }

  #readCommand(at: number, command: number, lengthBytes: number): number {
    const obstacle = obstacleInCommand(command);
    if (obstacle !== undefined) return this.#giveUp(at, obstacle);
    if (lengthBytes > 0) this.#state = { in: 'command', remainingBytes: lengthBytes };
    this.#handler.command?.(command, lengthBytes);
    return at + 5;
  }

  #readMagic(buffer: Buffer, at: number, end: number): number {
    if (end - at < magicBytes) return this.#incomplete(at, magicBytes);
    const obstacle = obstacleInMagic(buffer, at);
    if (obstacle !== undefined) return this.#giveUp(at, obstacle);
    this.#state = { in: 'configuration', reader: new ConfigurationReader() };
    return at + 8;
  }

  #readConfiguration(buffer: Buffer, at: number, end: number, reader: ConfigurationReader): number {
    const step = reader.step(buffer, at, end);
    switch (step.is) {
      case 'read':
        return step.next;
      case 'incomplete':
        return this.#incomplete(at, step.neededBytes);
      case 'malformed':
        return this.#giveUp(at, malformed(`the configuration has ${step.detail}`));
      case 'complete': {
        const { configuration } = step;
        this.#handler.configuration?.(configuration);
        const obstacle = obstacleInConfiguration(configuration);
        if (obstacle !== undefined) return this.#giveUp(at, obstacle);
        this.#state = { in: 'between-sections' };
        return at;
      }
    }
  }

  /** Index of the RAM block whose name stands in `buffer` from `start` to `end`, or -1. */
  #findBlock(buffer: Buffer, start: number, end: number): number {
    const current = this.blockNames[this.#inputBlock];
    if (current !== undefined && buffer.compare(current, 0, current.length, start, end) === 0) {
      return this.#inputBlock;
    }
    return this.#blockIndexByName.get(buffer.toString('latin1', start, end)) ?? -1;
  }

  #incomplete(at: number, neededBytes: number): number {
    this.#neededBytes = neededBytes;
    return at;
  }

  #handOn(buffer: Buffer, to: number): void {
    if (to > this.#from) this.#output(buffer, this.#from, to);
    this.#from = to;
  }

  #giveUp(at: number, { reason, detail }: Obstacle): number {
    const { pagesLeftOut, pagesInjected } = this.counters;
    if (this.#options.refuseUnsupported === true || pagesLeftOut > 0 || pagesInjected > 0) {
      throw new StreamError('unsupported', `the migration stream cannot be filtered: ${detail}`, reason);
    }
    this.#state = { in: 'pass-through' };
    this.#handler.unsupported?.(reason, detail);
    return at;
  }
}
