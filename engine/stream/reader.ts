/**
 * Incremental reader of QEMU's stream, which may become post-copy. It leaves out the pages that its handler refuses and hands on everything
 * else verbatim, but for block names that have to be written again (docs/stream-format.md). Memory is constant: one
 * record, at most, is kept between two chunks.
 *
 *     magic -> configuration -> between-sections <---------------- end of START, PART -----+
 *                                |  |  ^                                                   |
 *                                |  |  +-- command, bitmaps, RAM_DISCARD, package          |
 *                                |  +-- START, PART or END of RAM --> ram <--> block-sizes |
 *                                |                                     |  |  (START only)  |
 *                                |                                     |  +----------------+
 *                                |                      end of END --> held (holdAtEnd) --> device-state, or,
 *                                |                                                            after a package: ended
 *                                +-- END, becomesPostcopy --> ram --> end-of-precopy --becomePostcopy()--> between-sections
 *                                +-- post-copy begins, without the option for it --> held (holdAtEnd) --> pass-through
 *                                +-- what cannot be filtered, from any state of the above --> pass-through
 *
 * Each state reads one item at a time; an item that a chunk's end cuts is completed from the next chunk and read again.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { readBitmapItem } from './bitmap-section.ts';
import { ConfigurationReader } from './configuration.ts';
import { FilteredOutput } from './filtered-output.ts';
import type {
  RamBlock,
  SectionKind,
  StreamCounters,
  StreamHandler,
  StreamOutput,
  StreamPosition,
} from './handler.ts';
import {
  beginsPostcopy,
  incomplete,
  type ItemStop,
  magicBytes,
  malformed,
  type Obstacle,
  obstacleInAdvise,
  obstacleInConfiguration,
  obstacleInMagic,
  obstacleInRecord,
  type PostcopyReading,
} from './obstacles.ts';
import { PageRecords } from './page-records.ts';
import { type RamBlocks, RamBlocksReader } from './ram-blocks.ts';
import { readDiscard } from './discard.ts';
import {
  deltaHeaderBytes,
  maxDiscardBytes,
  maxPackageBytes,
  ramFlag,
  sectionTailBytes,
  sectionType,
  shortHeaderBytes,
  streamCommand,
} from './records.ts';
import { readSectionHeader } from './section-header.ts';
import {
  encodeSectionEnd,
  encodeSectionTail,
  partHeaderBytes,
  recordHeaderRoomBytes,
  writePartHeader,
} from './writer.ts';

export interface StreamReaderOptions {
  /**
   * Stop at the end of RAM's END section, or where post-copy begins, before it is handed on, until `release` is called: the
   * last moment at which pages can be injected. Default false.
   */
  readonly holdAtEnd?: boolean;
  /** What the handler leaves out reaches the receiver all the same: the rest can be passed through after it. Default false. */
  readonly leftOutIsDelivered?: boolean;
  /** Throw when the stream cannot be filtered, instead of passing it through. Default false. */
  readonly refuseUnsupported?: boolean;
  /** Read a stream that becomes post-copy; else it is passed through from there on. Default false. */
  readonly postcopy?: boolean;
  /** A stream that becomes post-copy is to be read to its end: bits of dirty bitmaps, which come only then, are not. Default false. */
  readonly refuseBitmaps?: boolean;
  /**
   * Asked where RAM ends in pre-copy: whether the receiver is to see a part of RAM there that others follow. What comes after it
   * goes to `endOfPrecopy` then, until `becomePostcopy` is called. Default: never.
   */
  readonly becomesPostcopy?: () => boolean;
}

/** Whether a page record may be written to the output, and if it needs a section of its own around it. */
type PlaceForPages = 'inside-section' | 'between-sections' | 'nowhere';

/** What the reader is in the middle of. */
type ReaderState =
  | { readonly in: 'magic' }
  | { readonly in: 'configuration'; readonly reader: ConfigurationReader }
  | { readonly in: 'between-sections' }
  | { readonly in: 'command'; remainingBytes: number }
  | { readonly in: 'package'; remainingBytes: number }
  /** `last`: RAM's END, which the receiver sees as a part. */
  | { readonly in: 'ram'; readonly kind: SectionKind; readonly last?: true }
  | { readonly in: 'block-sizes'; readonly reader: RamBlocksReader }
  | { readonly in: 'bitmaps'; readonly sectionId: number }
  | { readonly in: 'held'; readonly before: 'ram-ends' | 'postcopy' }
  | { readonly in: 'device-state' }
  | { readonly in: 'end-of-precopy' }
  /** After the RAM of a stream that has become post-copy; `endOfFile`: its last byte was read. */
  | { readonly in: 'ended'; readonly endOfFile: boolean }
  | { readonly in: 'pass-through' };

type RamPart = Extract<ReaderState, { in: 'ram' }>;

/** QEMU keeps their bits for when the VM has moved (migration/block-dirty-bitmap.c, dirty_bitmap_has_postcopy). */
const bitmapsInPostcopy: Obstacle = {
  reason: 'dirty-bitmaps',
  detail: 'dirty bitmaps of disks follow the VM in post-copy',
};

/** Longest item that is parsed in one piece: a page's difference, as long as a page, with a block name of 255 bytes. */
const maxItemBytes = recordHeaderRoomBytes + deltaHeaderBytes + pageSizeBytes;

export class StreamReader {
  readonly counters: StreamCounters = {
    bytes: 0,
    pages: 0,
    zeroPages: 0,
    pageDeltas: 0,
    pagesLeftOut: 0,
    pagesInjected: 0,
    ramSections: 0,
  };
  /** Id of the RAM section; undefined before it starts. */
  ramSectionId: number | undefined;
  /** What is handed on. */
  readonly output: FilteredOutput;

  /** Whether QEMU may start post-copy of RAM. */
  mayBecomePostcopy = false;

  #bitmapSectionId: number | undefined;
  readonly #handler: StreamHandler;
  readonly #pages: PageRecords;
  readonly #options: StreamReaderOptions;
  #state: ReaderState = { in: 'magic' };
  #endReleased = false;
  #moved = false;
  /** Bytes that the item at hand has at least; set by each step that stops at an incomplete one. */
  #neededBytes = 0;
  /** Of the configuration: told when the commands behind it are read. */
  #obstacle: Obstacle | undefined;
  readonly #cut = new CutItem(maxItemBytes);
  /** What was pushed but not parsed when the reader was held. */
  #heldBytes: Buffer = Buffer.alloc(0);

  constructor(handler: StreamHandler, output: StreamOutput, options: StreamReaderOptions = {}) {
    this.#handler = handler;
    this.#options = options;
    this.output = new FilteredOutput(output);
    this.#pages = new PageRecords(handler, this.output, this.counters);
  }

  /** The RAM blocks; none before they are known. */
  get blocks(): readonly RamBlock[] {
    return this.#pages.blocks.list;
  }

  /** Names of the RAM blocks as they stand in the stream. */
  get blockNames(): readonly Buffer[] {
    return this.#pages.blocks.names;
  }

  /** As they are found by name. */
  get ramBlocks(): RamBlocks {
    return this.#pages.blocks;
  }

  /** Whether the package with the device state was read: the stream has become post-copy. */
  get moved(): boolean {
    return this.#moved;
  }

  /** Whether it is held, and what comes next may let the target run. */
  get isHeldBeforePostcopy(): boolean {
    return this.#state.in === 'held' && this.#state.before === 'postcopy';
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

  /**
   * What a stream that has become post-copy lacks if nothing more comes: the ends of RAM and of the stream. Undefined in other
   * streams, and where it breaks off in the middle of something else.
   */
  get missingEnd(): Buffer | undefined {
    const state = this.#state;
    const sectionId = this.ramSectionId;
    if (!this.#moved || sectionId === undefined) return undefined;
    const endOfFile = Buffer.of(sectionType.endOfFile);
    const lastPart = Buffer.concat([encodeSectionTail(sectionId), endOfFile]);
    switch (state.in) {
      case 'between-sections':
        return Buffer.concat([encodeSectionEnd(sectionId), endOfFile]);
      case 'ram':
        if (state.kind === 'end') return lastPart;
        return Buffer.concat([encodeSectionTail(sectionId), encodeSectionEnd(sectionId), endOfFile]);
      case 'held':
        return state.before === 'ram-ends' ? lastPart : undefined;
      case 'ended':
        return state.endOfFile ? Buffer.alloc(0) : endOfFile;
      case 'magic':
      case 'configuration':
      case 'command':
      case 'package':
      case 'bitmaps':
      case 'block-sizes':
      case 'device-state':
      case 'end-of-precopy':
      case 'pass-through':
        return undefined;
    }
  }

  /** Where a page record may be written to the output now. */
  get placeForPages(): PlaceForPages {
    switch (this.#state.in) {
      case 'held':
        return this.#state.before === 'ram-ends' ? 'inside-section' : 'between-sections';
      case 'ram':
        return this.#state.kind === 'start' ? 'nowhere' : 'inside-section';
      case 'between-sections':
      case 'end-of-precopy':
        return this.blocks.length > 0 ? 'between-sections' : 'nowhere';
      case 'magic':
      case 'configuration':
      case 'command':
      case 'package':
      case 'bitmaps':
      case 'block-sizes':
      case 'device-state':
      case 'ended':
      case 'pass-through':
        return 'nowhere';
    }
  }

  /** Where a command may be written to the output now; inside a part of the RAM section it needs another part behind it. */
  get placeForCommands(): PlaceForPages {
    const place = this.placeForPages;
    // RAM's END ends RAM: there is no part of it after it.
    const ends = this.#state.in === 'held' || (this.#state.in === 'ram' && this.#state.kind === 'end');
    return ends ? 'nowhere' : place;
  }

  /**
   * Takes the next bytes of the stream, cut anywhere. Returns false if the reader is held: nothing may be pushed until
   * `release` was called. The rest of the chunk is kept meanwhile.
   *
   * @throws CodedError 'stream', 'unsupported' as described at StreamHandler.unsupported
   */
  push(chunk: Buffer): boolean {
    if (this.#state.in === 'held') throw new Error('push() while the reader is held');
    this.counters.bytes += chunk.length;
    return this.#take(chunk);
  }

  /** Lets RAM's END section end, or post-copy begin. Call it when `push` returned false. */
  release(): void {
    if (this.#state.in !== 'held') throw new Error('release() of a reader that is not held');
    this.#state = this.#state.before === 'ram-ends' ? { in: 'ram', kind: 'end' } : { in: 'between-sections' };
    this.#endReleased = true;
    const rest = this.#heldBytes;
    this.#heldBytes = Buffer.alloc(0);
    this.#take(rest);
  }

  /** All that follows RAM was given to `endOfPrecopy`: what is pushed next stands in its place. */
  becomePostcopy(): void {
    if (this.#state.in !== 'end-of-precopy') throw new Error('becomePostcopy() before the end of RAM');
    this.#state = { in: 'between-sections' };
  }

  /**
   * To be called when the input has ended. Hands on what is left.
   *
   * @throws CodedError 'stream', 'truncated' if the stream cannot have ended here
   */
  end(): void {
    if (this.#cut.filledBytes > 0) this.output.insert(this.#cut.buffer, this.#cut.filledBytes);
    this.#cut.clear();
    const state = this.#state;
    if (
      state.in !== 'device-state' &&
      state.in !== 'pass-through' &&
      !(state.in === 'ended' && state.endOfFile)
    ) {
      throw new CodedError('stream', 'truncated', `the migration stream ended at ${this.position}`);
    }
  }

  #take(chunk: Buffer): boolean {
    const cut = this.#cut;
    let at = 0;
    while (cut.filledBytes > 0) {
      // Complete just the item that was cut; what follows it is parsed where it lies.
      at = cut.fill(chunk, at, this.#neededBytes);
      if (cut.filledBytes < this.#neededBytes) return true;
      const used = this.#parse(cut.buffer, 0, cut.filledBytes);
      if (this.#hold(cut.rest(used), chunk.subarray(at))) return false;
      cut.drop(used);
    }
    const used = this.#parse(chunk, at, chunk.length);
    if (this.#hold(chunk.subarray(used))) return false;
    cut.keep(chunk, used);
    return true;
  }

  #hold(...rest: Buffer[]): boolean {
    if (this.#state.in !== 'held') return false;
    this.#heldBytes = Buffer.concat(rest);
    this.#cut.clear();
    return true;
  }

  /** Parses whole items from `start` on; returns the position of the first that is not whole, or is held. */
  #parse(buffer: Buffer, start: number, end: number): number {
    let at = start;
    this.output.begin(start);
    while (at < end && this.#state.in !== 'held') {
      this.#neededBytes = 0;
      at = this.#step(buffer, at, end);
      if (this.#neededBytes > 0) break;
    }
    this.output.handOn(buffer, at);
    return at;
  }

  /** Reads one item, or a run of RAM records; returns where the next one starts. */
  #step(buffer: Buffer, at: number, end: number): number {
    const state = this.#state;
    switch (state.in) {
      case 'ram':
        return this.#readRam(buffer, at, end, state);
      case 'block-sizes':
        return this.#readBlockSize(buffer, at, end, state.reader);
      case 'between-sections':
        return this.#readSectionHeader(buffer, at, end);
      case 'command': {
        const bytes = Math.min(state.remainingBytes, end - at);
        state.remainingBytes -= bytes;
        if (state.remainingBytes === 0) this.#state = { in: 'between-sections' };
        return at + bytes;
      }
      case 'package': {
        const bytes = Math.min(state.remainingBytes, end - at);
        state.remainingBytes -= bytes;
        if (state.remainingBytes === 0) this.#endPackage(buffer, at + bytes);
        return at + bytes;
      }
      case 'ended':
        return this.#readEndOfFile(buffer, at, state.endOfFile);
      case 'magic':
        return this.#readMagic(buffer, at, end);
      case 'configuration':
        return this.#readConfiguration(buffer, at, end, state.reader);
      case 'bitmaps':
        return this.#readBitmapItem(buffer, at, end, state.sectionId);
      case 'end-of-precopy':
        this.output.leaveOut(end);
        this.#handler.endOfPrecopy?.(buffer, at, end);
        return end;
      case 'held':
        return at;
      case 'device-state':
      case 'pass-through':
        return end;
    }
  }

  #readRam(buffer: Buffer, start: number, end: number, ram: RamPart): number {
    const stop = this.#pages.read(buffer, start, end);
    if (stop.is === 'other-record') return this.#readControlRecord(buffer, stop.at, end, stop.flags, ram);
    return this.#stop(stop.at, stop);
  }

  /** A record of the RAM section that is no page: the list of RAM blocks, or the end of a section. Its header is whole. */
  #readControlRecord(buffer: Buffer, at: number, end: number, flags: number, ram: RamPart): number {
    const { kind } = ram;
    const hasBlocks = this.blocks.length > 0;
    switch (flags & ~ramFlag.sameBlock) {
      case ramFlag.endOfSection: {
        // QEMU flushes after the end-of-section record but keeps the footer in its buffer. Handing the record on only
        // together with its footer keeps the place between the two from looking like one where pages may go.
        if (end - at < sectionTailBytes) return this.#stop(at, incomplete(sectionTailBytes));
        const footer = at + shortHeaderBytes;
        if (
          buffer.readUInt8(footer) !== sectionType.footer ||
          buffer.readUInt32BE(footer + 1) !== this.ramSectionId
        ) {
          return this.#giveUp(at, malformed('the RAM section has no footer'));
        }
        if (kind === 'start' && !hasBlocks) {
          return this.#giveUp(at, malformed('the RAM section starts without its blocks'));
        }
        return this.#endSection(buffer, at, ram);
      }
      case ramFlag.memorySize: {
        if (kind !== 'start' || hasBlocks) {
          return this.#giveUp(at, malformed('RAM blocks are announced again'));
        }
        const totalBytes = buffer.readUInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4) - flags;
        this.#state = {
          in: 'block-sizes',
          reader: new RamBlocksReader(totalBytes, this.mayBecomePostcopy),
        };
        return at + shortHeaderBytes;
      }
      default:
        this.#pages.nameBlockAgain(buffer, at, flags);
        return this.#giveUp(at, obstacleInRecord(flags));
    }
  }

  /** A part of the RAM section ends with the tail at `at`, unless it is to be held. */
  #endSection(buffer: Buffer, at: number, { kind, last }: RamPart): number {
    if (kind === 'end' && this.#options.holdAtEnd === true && !this.#endReleased) {
      this.#state = { in: 'held', before: 'ram-ends' };
      return at;
    }
    const next = at + sectionTailBytes;
    this.output.handOn(buffer, next);
    this.counters.ramSections += 1;
    if (last === true) this.#state = { in: 'end-of-precopy' };
    else if (kind !== 'end') this.#state = { in: 'between-sections' };
    else this.#state = this.#moved ? { in: 'ended', endOfFile: false } : { in: 'device-state' };
    this.#handler.ramSectionEnds?.(kind);
    if (kind === 'end' && !this.#moved) this.#handler.deviceState?.();
    return next;
  }

  #endPackage(buffer: Buffer, next: number): void {
    this.output.handOn(buffer, next);
    this.#moved = true;
    this.#state = { in: 'between-sections' };
    this.#handler.packageEnds?.();
  }

  /** Device state was in the package; nothing but this byte follows (migration/migration.c, migration_completion_postcopy). */
  #readEndOfFile(buffer: Buffer, at: number, read: boolean): number {
    if (read || buffer.readUInt8(at) !== sectionType.endOfFile) {
      return this.#giveUp(at, malformed('the stream goes on after its end'));
    }
    this.#state = { in: 'ended', endOfFile: true };
    this.output.handOn(buffer, at + 1);
    this.#handler.streamEnds?.();
    return at + 1;
  }

  #readBlockSize(buffer: Buffer, at: number, end: number, reader: RamBlocksReader): number {
    const step = reader.step(buffer, at, end);
    switch (step.is) {
      case 'read':
        return step.next;
      case 'complete':
        this.#pages.blocks = step.blocks;
        this.#state = { in: 'ram', kind: 'start' };
        this.#handler.ramBlocks?.(step.blocks.list);
        return step.next;
      default:
        return this.#stop(at, step);
    }
  }

  #readSectionHeader(buffer: Buffer, at: number, end: number): number {
    const started = { ram: this.ramSectionId, bitmaps: this.#bitmapSectionId };
    const header = readSectionHeader(buffer, at, end, started, this.#postcopyReading);
    // Commands say whether there is a return path, and whether post-copy may come: they are read whatever stands in the way.
    if (this.#obstacle !== undefined && header.is !== 'command' && header.is !== 'incomplete')
      return this.#giveUp(at, this.#obstacle);
    switch (header.is) {
      case 'ram':
        this.ramSectionId = header.sectionId;
        if (header.kind === 'end' && !this.#moved && this.#options.becomesPostcopy?.() === true) {
          this.#endAsPart(buffer, at, header);
          return header.next;
        }
        this.#state = { in: 'ram', kind: header.kind };
        this.#handler.ramSectionBegins?.(header.kind);
        return header.next;
      case 'bitmaps':
        this.#bitmapSectionId = header.sectionId;
        this.#state = { in: 'bitmaps', sectionId: header.sectionId };
        return header.next;
      case 'command':
        return this.#readCommand(buffer, at, end, header);
      default:
        return this.#stop(at, header);
    }
  }

  #endAsPart(buffer: Buffer, at: number, { sectionId, next }: { sectionId: number; next: number }): void {
    this.output.handOn(buffer, at);
    const header = Buffer.alloc(partHeaderBytes);
    this.output.insert(header, writePartHeader(header, 0, sectionId));
    this.output.leaveOut(next);
    this.#state = { in: 'ram', kind: 'part', last: true };
    this.#handler.ramSectionBegins?.('part');
  }

  #readCommand(
    buffer: Buffer,
    at: number,
    end: number,
    { command, lengthBytes, next }: { command: number; lengthBytes: number; next: number },
  ): number {
    if (this.#options.postcopy !== true && beginsPostcopy(command)) return this.#beginPostcopy(at);
    switch (command) {
      case streamCommand.postcopyAdvise: {
        // Page sizes are its data where RAM may be sent later.
        if (lengthBytes > 0) this.mayBecomePostcopy = true;
        if (lengthBytes === 0 || this.#options.postcopy !== true) {
          if (lengthBytes > 0) this.#state = { in: 'command', remainingBytes: lengthBytes };
          this.#handler.command?.(command, lengthBytes);
          return next;
        }
        if (end - next < lengthBytes) return this.#stop(at, incomplete(next - at + lengthBytes));
        const obstacle = obstacleInAdvise(buffer, next);
        if (obstacle !== undefined) return this.#giveUp(at, obstacle);
        this.#handler.command?.(command, lengthBytes);
        return next + lengthBytes;
      }
      case streamCommand.postcopyRamDiscard: {
        if (lengthBytes > maxDiscardBytes) return this.#giveUp(at, malformed('a long RAM_DISCARD'));
        if (end - next < lengthBytes) return this.#stop(at, incomplete(next - at + lengthBytes));
        const discard = readDiscard(buffer.subarray(next, next + lengthBytes), this.#pages.blocks);
        if (discard === undefined) return this.#giveUp(at, malformed('a RAM_DISCARD of no RAM block'));
        this.#handler.command?.(command, lengthBytes);
        for (const { pageIndex, pageCount } of discard.ranges) {
          this.#handler.discard?.(discard.blockIndex, pageIndex, pageCount);
        }
        return next + lengthBytes;
      }
      case streamCommand.packaged: {
        if (end - next < lengthBytes) return this.#stop(at, incomplete(next - at + lengthBytes));
        const packageBytes = buffer.readUInt32BE(next);
        if (this.blocks.length === 0 || packageBytes === 0 || packageBytes > maxPackageBytes) {
          return this.#giveUp(at, malformed(`a package of ${packageBytes} bytes`));
        }
        // What precedes it is handed on first, so that whoever holds the package back does not hold that.
        this.output.handOn(buffer, at);
        this.#state = { in: 'package', remainingBytes: packageBytes };
        this.#handler.command?.(command, lengthBytes);
        this.#handler.packageBegins?.(packageBytes);
        return next + lengthBytes;
      }
      default:
        if (lengthBytes > 0) this.#state = { in: 'command', remainingBytes: lengthBytes };
        this.#handler.command?.(command, lengthBytes);
        return next;
    }
  }

  get #postcopyReading(): PostcopyReading {
    if (this.#options.postcopy !== true) return 'pass-through';
    return this.#moved ? 'over' : 'read';
  }

  #readBitmapItem(buffer: Buffer, at: number, end: number, sectionId: number): number {
    const item = readBitmapItem(buffer, at, end, sectionId);
    switch (item.is) {
      case 'read':
        if (this.#options.refuseBitmaps === true) return this.#giveUp(at, bitmapsInPostcopy);
        return item.next;
      case 'section-ends':
        this.#state = { in: 'between-sections' };
        return item.next;
      default:
        return this.#stop(at, item);
    }
  }

  #beginPostcopy(at: number): number {
    if (this.blocks.length === 0) return this.#giveUp(at, malformed('post-copy begins before RAM'));
    if (this.#options.holdAtEnd === true && !this.#endReleased) {
      this.#state = { in: 'held', before: 'postcopy' };
    } else {
      this.#state = { in: 'pass-through' };
      this.#handler.postcopyBegins?.();
    }
    return at;
  }

  #readMagic(buffer: Buffer, at: number, end: number): number {
    if (end - at < magicBytes) return this.#stop(at, incomplete(magicBytes));
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
      case 'complete': {
        const { configuration } = step;
        this.#handler.configuration?.(configuration);
        this.#obstacle = obstacleInConfiguration(configuration);
        this.#state = { in: 'between-sections' };
        return at;
      }
      default:
        return this.#stop(at, step);
    }
  }

  #stop(at: number, stop: ItemStop): number {
    if (stop.is === 'obstacle') return this.#giveUp(at, stop.obstacle);
    this.#neededBytes = stop.neededBytes;
    return at;
  }

  #giveUp(at: number, { reason, detail }: Obstacle): number {
    const { refuseUnsupported = false, leftOutIsDelivered = false } = this.#options;
    const isIncomplete = this.counters.pagesLeftOut > 0 && !leftOutIsDelivered;
    if (refuseUnsupported || isIncomplete || this.counters.pagesInjected > 0) {
      throw new CodedError('stream', 'unsupported', `the migration stream cannot be filtered: ${detail}`, {
        reason,
      });
    }
    this.#state = { in: 'pass-through' };
    this.#handler.unsupported?.(reason, detail);
    return at;
  }
}

/** An item of the stream that was cut by the end of a chunk, until the rest of it comes. */
class CutItem {
  readonly buffer: Buffer;
  /** Bytes of the buffer that are filled; 0 if nothing was cut. */
  filledBytes = 0;

  constructor(maxItemBytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(maxItemBytes);
  }

  /** Keeps the bytes of a chunk from `start` on: they are less than an item. */
  keep(chunk: Buffer, start: number): void {
    this.filledBytes = chunk.copy(this.buffer, 0, start);
  }

  /** Takes from the chunk, at `at`, what is missing of `neededBytes`, and no more; returns where the chunk goes on. */
  fill(chunk: Buffer, at: number, neededBytes: number): number {
    const end = Math.min(chunk.length, at + neededBytes - this.filledBytes);
    this.filledBytes += chunk.copy(this.buffer, this.filledBytes, at, end);
    return end;
  }

  /** The bytes from `start` on. */
  rest(start: number): Buffer {
    return this.buffer.subarray(start, this.filledBytes);
  }

  /** Removes bytes that were read. */
  drop(bytes: number): void {
    this.buffer.copyWithin(0, bytes, this.filledBytes);
    this.filledBytes -= bytes;
  }

  clear(): void {
    this.filledBytes = 0;
  }
}
