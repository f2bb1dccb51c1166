/**
 * Brings an early resume that broke to its end, as QEMU recovers its own post-copy: the target says which pages it has, and gets
 * the others (migration/savevm.c, qemu_savevm_state_resume_prepare; migration/ram.c, ram_dirty_bitmap_reload). What it gets is
 * memory of the source's VM, which has not run since it was moved, or the same from storage.
 *
 * ```
 * asking --a bitmap of each block--> resuming --its ack--> sending --nothing is missing--> ending --the target's word--> recovered
 * ```
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { GuestRam } from '../core/outside.ts';
import { innodbPages, pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from '../stream/handler.ts';
import {
  ramFlag,
  resumeAckValue,
  returnPathMessage,
  sectionTailBytes,
  sectionType,
  streamCommand,
} from '../stream/records.ts';
import {
  type PageRequest,
  PageRequestReader,
  type ReceivedBitmap,
  ReturnPathReader,
} from '../stream/return-path.ts';
import {
  encodeCommand,
  encodeSectionEnd,
  partHeaderBytes,
  recordHeaderRoomBytes,
  writePartHeader,
  writeRecordHeader,
  writeSectionTail,
} from '../stream/writer.ts';
import { MissingPages, type PageRange } from './missing-pages.ts';

type RecoveryState = 'asking' | 'resuming' | 'sending' | 'ending' | 'recovered';

interface RecoveryHandler {
  /** For the target, in order. */
  write(bytes: Buffer): void;
  /** The target has said for the first time what it has: it takes a second connection now, if it waits for one. */
  answered(): void;
  /** Known what is missing; pages follow when it has acknowledged that. */
  known(pagesMissing: number): void;
  /** Where pages are given: its VM waits for pages among these. */
  wanted?(range: PageRange): void;
  /** It has everything. */
  recovered(): void;
}

/** The VM that was moved, in the stream that broke. */
export interface MovedVm {
  /** Of the RAM section. */
  readonly ramSectionId: number;
  readonly blocks: readonly RamBlock[];
}

/** Its memory at the source. */
export interface LeftMemory extends MovedVm {
  /** @throws CodedError 'source', 'guest-ram' */
  readonly ram: (block: RamBlock) => GuestRam;
}

/** A part of the RAM section that is being made; `at` is where it goes on. */
interface Part {
  readonly bytes: Buffer;
  at: number;
  lastBlock: number;
}

const zeroPage = Buffer.alloc(pageSizeBytes);
/** A record beyond the last that fits, and the section's end. */
const partRoomBytes = recordHeaderRoomBytes + pageSizeBytes + sectionTailBytes;
/** Of a part that is made of pages which are given: a read of storage fits. */
const givenBytes = 64 * 1024;

export class RecoveryStream {
  readonly #vm: MovedVm & Partial<LeftMemory>;
  readonly #handler: RecoveryHandler;
  readonly #missing: MissingPages;
  readonly #names: readonly Buffer[];
  readonly #requests = new PageRequestReader();
  /** By block index, of those of which pages are missing. */
  readonly #ram = new Map<number, GuestRam>();
  readonly #reader = new ReturnPathReader(
    (message) => {
      const request = this.#requests.read(message);
      if (request !== undefined) this.#request(request);
      else if (message.type === returnPathMessage.resumeAck) this.#acknowledged(message.data);
      else if (message.type === returnPathMessage.shut) this.#word(message.data);
    },
    (bitmap) => {
      this.#bitmap(bitmap);
    },
  );
  #state: RecoveryState = 'asking';
  #part: Part | undefined;

  /** @param vm without its memory pages are given */
  constructor(vm: MovedVm & Partial<LeftMemory>, handler: RecoveryHandler) {
    this.#vm = vm;
    this.#handler = handler;
    this.#names = vm.blocks.map(({ name }) => Buffer.from(name, 'latin1'));
    this.#missing = new MissingPages(vm.blocks.map(({ pageCount }) => pageCount));
  }

  get state(): RecoveryState {
    return this.#state;
  }

  /** Before everything else. */
  begin(): void {
    for (const name of this.#names)
      this.#handler.write(
        encodeCommand(streamCommand.receivedBitmap, Buffer.concat([Buffer.of(name.length), name])),
      );
  }

  get pagesMissing(): number {
    return this.#missing.count;
  }

  /**
   * Takes bytes of the return path, cut anywhere.
   *
   * @throws CodedError 'stream', 'return-path' on what no QEMU sends
   * @throws CodedError 'recovery', 'another-vm' if the target has other memory, before it gets any page
   * @throws CodedError 'recovery', 'target-failed'
   * @throws CodedError 'source', 'guest-ram' if what is missing cannot be read, before it gets any page
   */
  take(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  /**
   * Writes pages of the VM's memory, about `bytes` of them, those first that the VM waits for. Returns whether there was anything to write.
   *
   * @throws CodedError 'source', 'guest-ram'
   */
  send(bytes: number): boolean {
    if (this.#state !== 'sending' || this.#vm.ram === undefined) return false;
    const part = this.#openPart(bytes);
    while (part.at < partHeaderBytes + bytes) {
      const next = this.#missing.take();
      if (next === undefined) break;
      const ram = this.#ram.get(next.block);
      if (ram === undefined) throw new Error('a page of a block that has none missing');
      this.#writePage(part, next.block, next.page, (into, at) => {
        ram.read(next.page, 1, into, at);
      });
    }
    this.given();
    return true;
  }

  /** What is missing. */
  get missing(): Pick<MissingPages, 'has'> {
    return this.#missing;
  }

  /** The page whose content stands at `offset` in `content`, while `sending`; nothing if the target has it. */
  give(block: number, page: number, content: Buffer, offset: number): void {
    if (!this.#missing.takePage(block, page)) return;
    const part = this.#part ?? this.#openPart(givenBytes);
    this.#writePage(part, block, page, (into, at) => {
      content.copy(into, at, offset, offset + pageSizeBytes);
    });
    if (part.at >= partHeaderBytes + givenBytes) this.given();
  }

  /** Called after each row of `give`. */
  given(): void {
    const part = this.#part;
    this.#part = undefined;
    if (part === undefined) return;
    this.#handler.write(part.bytes.subarray(0, writeSectionTail(part.bytes, part.at, this.#vm.ramSectionId)));
    if (this.#missing.count === 0) this.#end();
  }

  #openPart(bytes: number): Part {
    const part = Buffer.allocUnsafe(partHeaderBytes + bytes + partRoomBytes);
    this.#part = { bytes: part, at: writePartHeader(part, 0, this.#vm.ramSectionId), lastBlock: -1 };
    return this.#part;
  }

  #writePage(part: Part, block: number, page: number, read: (into: Buffer, at: number) => void): void {
    const { bytes, at } = part;
    const name = block === part.lastBlock ? undefined : this.#names[block];
    part.lastBlock = block;
    const content = writeRecordHeader(bytes, at, page, ramFlag.page, name);
    part.at = content + pageSizeBytes;
    read(bytes, content);
    if (bytes.compare(zeroPage, 0, pageSizeBytes, content, part.at) !== 0) return;
    writeRecordHeader(bytes, at, page, ramFlag.zero, name);
    // Its fill byte, which is 0, stands there already.
    part.at = content + 1;
  }

  #end(): void {
    this.#state = 'ending';
    this.#handler.write(
      Buffer.concat([encodeSectionEnd(this.#vm.ramSectionId), Buffer.of(sectionType.endOfFile)]),
    );
  }

  #bitmap({ blockName, bits }: ReceivedBitmap): void {
    const block = this.#vm.blocks.find(({ name }) => name === blockName);
    if (this.#state !== 'asking' || block === undefined)
      throw malformed('a bitmap that it was not asked for');
    const words = Math.ceil(block.pageCount / 64);
    if (bits.length !== words * 8)
      throw new CodedError(
        'recovery',
        'another-vm',
        `the target's block "${blockName}" has not ${block.pageCount} pages: it is not the one that this VM was moved to`,
      );
    const isFirst = !this.#missing.isKnown;
    this.#missing.received(block.index, bits);
    if (isFirst) this.#handler.answered();
    if (!this.#missing.isWhollyKnown) return;
    const { ram } = this.#vm;
    for (const one of this.#vm.blocks)
      if (ram !== undefined && this.#missing.ofBlock(one.index) > 0) this.#ram.set(one.index, ram(one));
    this.#handler.known(this.#missing.count);
    this.#state = 'resuming';
    this.#handler.write(encodeCommand(streamCommand.postcopyResume));
  }

  #acknowledged(data: Buffer): void {
    if (this.#state !== 'resuming' || data.length !== 4 || data.readUInt32BE(0) !== resumeAckValue)
      throw malformed('an acknowledgement out of turn');
    this.#state = 'sending';
    if (this.#missing.count === 0) this.#end();
  }

  #request({ blockName, pageIndex, pageCount }: PageRequest): void {
    const block = this.#vm.blocks.find(({ name }) => name === blockName);
    if (block === undefined || pageIndex + pageCount > block.pageCount)
      throw malformed('a request for pages that there are not');
    const range = rangeAround(block, pageIndex, pageCount);
    if (this.#vm.ram === undefined) this.#handler.wanted?.(range);
    else this.#missing.wanted(range);
  }

  #word(data: Buffer): void {
    const status = data.length === 4 ? data.readUInt32BE(0) : undefined;
    if (status !== 0 || this.#state !== 'ending')
      throw new CodedError(
        'recovery',
        'target-failed',
        `the target QEMU reports ${status === 0 ? 'an end before it has everything' : `error ${status ?? ''}`}; its own messages say why`,
      );
    this.#state = 'recovered';
    this.#handler.recovered();
  }
}

/** Pages of a block of a database come together: it is asked for one after the other. */
function rangeAround({ index, pageCount }: RamBlock, page: number, count: number): PageRange {
  const first = Math.floor(page / innodbPages) * innodbPages;
  const end = Math.min(Math.ceil((page + count) / innodbPages) * innodbPages, pageCount);
  return { block: index, first, end };
}

function malformed(what: string): CodedError<'stream'> {
  return new CodedError('stream', 'return-path', `the target sent ${what}`);
}
