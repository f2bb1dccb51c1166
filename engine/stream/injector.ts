/**
 * Relays a migration stream and adds pages to it at places where the format has room for them: inside a part of the RAM
 * section, or between two sections as a part of its own. It is the only writer of its output, so that block names stay
 * right.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { StreamHandler, StreamOutput } from './handler.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { StreamReader, type StreamReaderOptions } from './reader.ts';
import { ramFlag } from './records.ts';
import {
  partHeaderBytes,
  recordHeaderRoomBytes,
  writeCommandHeader,
  writePartHeader,
  writeRecordHeader,
  writeSectionTail,
} from './writer.ts';

export class StreamInjector {
  /** Blocks, counters and position of the relayed stream. */
  readonly reader: StreamReader;
  readonly #output: StreamOutput;
  readonly #scratch = Buffer.allocUnsafeSlow(partHeaderBytes + recordHeaderRoomBytes + 1);
  /** A part of the RAM section that was opened here and not closed yet. */
  #ownSectionOpen = false;
  #pushing = false;
  #hasEnded = false;

  /** The handler may leave pages out, as with a StreamReader. It must not inject from within its calls. */
  constructor(handler: StreamHandler, output: StreamOutput, options: StreamReaderOptions = {}) {
    this.#output = output;
    this.reader = new StreamReader(handler, output, options);
  }

  /** As StreamReader.push. */
  push(chunk: Buffer): boolean {
    this.closeSection();
    return this.#whilePushing(() => this.reader.push(chunk));
  }

  /** As StreamReader.release. After it nothing can be injected. */
  release(): void {
    this.closeSection();
    this.#whilePushing(() => {
      this.reader.release();
    });
  }

  /** As StreamReader.end. */
  end(): void {
    this.closeSection();
    this.reader.end();
  }

  /** Ends a stream that has become post-copy and broke off: adds `StreamReader.missingEnd`. After it nothing can be injected. */
  endInstead(): void {
    this.closeSection();
    const end = this.reader.missingEnd;
    if (end === undefined) {
      throw new CodedError('stream', 'not-injectable', `no end can be injected at ${this.reader.position}`);
    }
    this.#output(end, 0, end.length);
    this.#hasEnded = true;
  }

  /** False before the RAM blocks are known, after the end of RAM, and in a stream that cannot be filtered. */
  get canInject(): boolean {
    return !this.#pushing && !this.#hasEnded && this.reader.placeForPages !== 'nowhere';
  }

  /**
   * Adds the page whose 4096 bytes stand at `offset` in `buffer`.
   *
   * @throws CodedError 'stream', 'not-injectable' if `canInject` is false or the page is outside of its block
   */
  injectPage(blockIndex: number, pageIndex: number, buffer: Buffer, offset: number): void {
    this.#injectHeader(blockIndex, pageIndex, ramFlag.page);
    this.#output(buffer, offset, offset + pageSizeBytes);
  }

  /** Adds a page of zeros. Throws as `injectPage` does. */
  injectZeroPage(blockIndex: number, pageIndex: number): void {
    this.#injectHeader(blockIndex, pageIndex, ramFlag.zero);
    this.#scratch.writeUInt8(0, 0);
    this.#output(this.#scratch, 0, 1);
  }

  /** Whether `injectCommand` may be called. */
  get canCommand(): boolean {
    return !this.#pushing && this.reader.placeForCommands !== 'nowhere';
  }

  /**
   * Adds a command between two parts of the RAM section; a part that is open is cut in two.
   *
   * @throws CodedError 'stream', 'not-injectable' if `canCommand` is false
   */
  injectCommand(command: number, data: Buffer): void {
    const { reader } = this;
    if (!this.canCommand) {
      throw new CodedError('stream', 'not-injectable', `no command can be injected at ${reader.position}`);
    }
    const sectionId = reader.ramSectionId ?? 0;
    const cuts = reader.placeForCommands === 'inside-section';
    this.closeSection();
    if (cuts) this.#output(this.#scratch, 0, writeSectionTail(this.#scratch, 0, sectionId));
    this.#output(this.#scratch, 0, writeCommandHeader(this.#scratch, 0, command, data.length));
    this.#output(data, 0, data.length);
    if (cuts) this.#output(this.#scratch, 0, writePartHeader(this.#scratch, 0, sectionId));
  }

  /**
   * Closes the section that injecting between two sections has opened, if any. The next push does it too; closing it
   * earlier only makes the receiver see a whole section.
   */
  closeSection(): void {
    if (!this.#ownSectionOpen) return;
    this.#ownSectionOpen = false;
    // A section was opened, so that its id is known.
    const bytes = writeSectionTail(this.#scratch, 0, this.reader.ramSectionId ?? 0);
    this.#output(this.#scratch, 0, bytes);
  }

  #injectHeader(blockIndex: number, pageIndex: number, flag: number): void {
    const { reader } = this;
    const block = reader.blocks[blockIndex];
    const place = this.#pushing ? 'nowhere' : reader.placeForPages;
    if (place === 'nowhere') {
      throw new CodedError('stream', 'not-injectable', `no page can be injected at ${reader.position}`);
    }
    if (block === undefined || !(pageIndex >= 0 && pageIndex < block.pageCount)) {
      throw new CodedError(
        'stream',
        'not-injectable',
        `there is no page ${pageIndex} of RAM block ${blockIndex}`,
      );
    }
    let at = 0;
    if (place === 'between-sections' && !this.#ownSectionOpen) {
      this.#ownSectionOpen = true;
      at = writePartHeader(this.#scratch, at, reader.ramSectionId ?? 0);
    }
    const name = reader.output.sameBlock === blockIndex ? undefined : reader.blockNames[blockIndex];
    at = writeRecordHeader(this.#scratch, at, pageIndex, flag, name);
    reader.output.sameBlock = blockIndex;
    reader.counters.pagesInjected += 1;
    this.#output(this.#scratch, 0, at);
  }

  #whilePushing<T>(body: () => T): T {
    this.#pushing = true;
    try {
      return body();
    } finally {
      this.#pushing = false;
    }
  }
}
