/**
 * QEMU's stream on its way through the source engine: records of listed pages are left out of it, pages and plans are put
 * into it, and its end is recognised.
 */
import { postcopyBegun } from '../core/advice.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { Schedule } from '../core/schedule.ts';
import { checkVm } from '../stream/configuration.ts';
import { writeDiscard } from '../stream/discard.ts';
import { StreamInjector } from '../stream/injector.ts';
import { refuseUnvouched } from '../stream/obstacles.ts';
import { streamCommand } from '../stream/records.ts';
import { encodePlanPart, type PlanPart } from '../wire/plan-codec.ts';
import { CodedError } from '../../foundation/coded-error.ts';
import type { DestinationLink } from './destination-link.ts';
import { GuestPages } from '../core/guest-pages.ts';
import type { GuestRamSource, StreamWriter } from '../core/outside.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import { PostcopyEnding } from '../stream/postcopy-ending.ts';
import { StreamEnd } from '../stream/stream-end.ts';
import { UrgentRecords } from '../stream/urgent-records.ts';

const vmNotInStream = {
  code: 'vm-not-compared',
  reason:
    'QEMU does not say which VM it migrates (-uuid, capability validate-uuid): only what the engines were told is the same',
} as const;

interface QemuStreamHandler {
  /** QEMU has a return path: it waits for the target's word when it has sent everything. */
  returnPathOpens(): void;
  /** QEMU has sent everything, and what is left of it is handed on. */
  complete(): void;
  /** What was taken for that was none: more is handed on. */
  goesOn(): void;
  /** QEMU ends a migration as pre-copy that the target is to see as post-copy: `takeEnding` has how, unless more comes. */
  precopyEnds(): void;
  /** The package comes: all before it is handed on. */
  packageBegins(): void;
  /** What follows in the stream lets the target run. */
  postcopyBegins(): void;
  /** QEMU needs no further connection, but for post-copy's with preemption, which is carried in early resume only. */
  needsNoConnection(): void;
  /** The stream becomes post-copy: QEMU has sent the package with all device state, which is handed on. */
  packageComplete(): void;
  /** A stream that has become post-copy was handed on to its end. */
  drained(): void;
}

interface UrgentPage {
  readonly block: number;
  readonly page: number;
  /** Undefined: zeros. */
  readonly content: Buffer | undefined;
}

export class QemuStream implements StreamWriter {
  /** Of the hashes of this migration's plans; nobody but the destination is told. */
  readonly hashKey = randomHashKey();
  readonly pages: GuestPages;
  readonly injector: StreamInjector;
  readonly #schedule: Schedule;
  readonly #link: DestinationLink;
  readonly #onEvent: EventSink;
  readonly #handler: QemuStreamHandler;
  readonly #end = new StreamEnd();
  #machine = '';
  /** What is handed on now may hold the end of the stream. */
  #mayEnd = false;
  #postcopy = false;
  /** The target was told to throw pages away. */
  #discarded = false;
  /** Of a migration that QEMU ends as pre-copy and the target is to see as post-copy. */
  #ending = new PostcopyEnding();
  #madeEnding = false;
  readonly #urgent: UrgentPage[] = [];

  /**
   * @param vm name or uuid that the engine was told
   */
  constructor(
    schedule: Schedule,
    vm: string | undefined,
    ram: GuestRamSource | undefined,
    link: DestinationLink,
    onEvent: EventSink,
    handler: QemuStreamHandler,
  ) {
    this.#schedule = schedule;
    this.#link = link;
    this.#onEvent = onEvent;
    this.#handler = handler;
    this.injector = this.#createInjector(vm, schedule.becomesPostcopy);
    this.pages = new GuestPages(schedule, new PageHasher(this.hashKey), ram, onEvent, this);
  }

  /**
   * It ends as one without the description of the devices does, which its end is recognised by: where QEMU waits for the target's word it
   * would do so without end.
   */
  get lacksDescription(): boolean {
    return this.#mayEnd && !this.#end.complete && this.#end.endsWithoutDescription;
  }

  /**
   * Takes a chunk of it. Returns false if all of RAM was read: its end waits for `injector.release`. Throws as
   * StreamInjector.push, GuestPages.chunkTaken and checkVm do.
   */
  push(chunk: Buffer): boolean {
    this.pages.chunkComes(performance.now());
    const goesOn = this.injector.push(chunk);
    this.pages.chunkTaken();
    this.#sendUrgent();
    return goesOn;
  }

  /** Whether `takeEnding` has given it. */
  get hasMadeEnding(): boolean {
    return this.#madeEnding;
  }

  /** What stands in the place of pre-copy's end, to be pushed next; undefined where that has not all come. */
  takeEnding(): Buffer | undefined {
    const { reader } = this.injector;
    if (!this.#ending.isWhole || reader.position !== 'end-of-precopy') return undefined;
    reader.becomePostcopy();
    this.#madeEnding = true;
    return this.#ending.bytes(reader.ramSectionId ?? 0);
  }

  /**
   * QEMU has opened a second connection, for pages that the target's VM waits for. They join its stream: the target takes them from
   * either. Returns what takes its bytes, and throws as UrgentRecords.push does.
   */
  openUrgent(): (bytes: Buffer) => void {
    const records = new UrgentRecords({
      page: (block, page, buffer, offset) => {
        const content = Buffer.from(buffer.subarray(offset, offset + pageSizeBytes));
        this.#urgent.push({ block, page, content });
        return true;
      },
      zeroPage: (block, page) => {
        this.#urgent.push({ block, page, content: undefined });
        return true;
      },
    });
    return (bytes) => {
      records.push(bytes, this.injector.reader.ramBlocks);
      this.#sendUrgent();
    };
  }

  /** As soon as there is a place for them; there are never more than the target's VM waits for. */
  #sendUrgent(): void {
    while (this.injector.reader.moved && this.canInject) {
      const next = this.#urgent.shift();
      if (next === undefined) return;
      this.pages.urgentRecord(next.block, next.page);
      if (next.content === undefined) this.injectZeroPage(next.block, next.page);
      else this.injectPage(next.block, next.page, next.content, 0);
    }
  }

  get canInject(): boolean {
    return this.injector.canInject;
  }

  injectPage(blockIndex: number, pageIndex: number, buffer: Buffer, offset: number): void {
    this.injector.injectPage(blockIndex, pageIndex, buffer, offset);
  }

  injectZeroPage(blockIndex: number, pageIndex: number): void {
    this.injector.injectZeroPage(blockIndex, pageIndex);
  }

  sendPlan(part: PlanPart): void {
    this.#link.sendInOrder('plan', encodePlanPart(part), true);
  }

  get room(): number {
    return this.#link.room;
  }

  /** Whether post-copy has begun, in early resume with the package: QEMU goes on sending when the target runs. */
  get isPostcopy(): boolean {
    return this.#postcopy || this.injector.reader.moved;
  }

  /** Whether QEMU has sent everything. */
  get isComplete(): boolean {
    return this.#end.complete;
  }

  /**
   * QEMU has closed its connection. Hands on what is left, and returns whether the stream can have been whole without having
   * been seen to be.
   */
  close(): boolean {
    if (!this.#mayEnd || this.#end.complete) return false;
    this.injector.end();
    return this.#end.endsWithoutDescription;
  }

  #createInjector(vm: string | undefined, postcopy: boolean): StreamInjector {
    const { batch } = this.#link;
    return new StreamInjector(
      {
        configuration: (configuration) => {
          if (!checkVm(vm, configuration)) this.#onEvent({ event: 'warning', ...vmNotInStream });
          this.#machine = configuration.machine;
        },
        ramBlocks: (blocks) => {
          const pages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
          this.#onEvent({
            event: 'qemu-connected',
            machine: this.#machine,
            ram_blocks: blocks.length,
            ram_pages: pages,
          });
          this.pages.takeBlocks(blocks, this.#machine);
        },
        page: (blockIndex, page, buffer, offset) => this.pages.pageRecord(blockIndex, page, buffer, offset),
        zeroPage: (blockIndex, page) => {
          this.pages.zeroRecord(blockIndex, page);
          return true;
        },
        pageDelta: (blockIndex, page) => {
          this.pages.deltaRecord(blockIndex, page);
        },
        ramSectionEnds: (kind) => {
          this.pages.partEnds();
          const { mayBecomePostcopy } = this.injector.reader;
          if (kind === 'part' && mayBecomePostcopy && !postcopy) this.#handler.needsNoConnection();
        },
        command: (command) => {
          if (command === streamCommand.openReturnPath) this.#handler.returnPathOpens();
        },
        postcopyBegins: () => {
          this.#postcopy = true;
          this.#handler.postcopyBegins();
          this.#onEvent({ event: 'warning', ...postcopyBegun });
        },
        discard: (blockIndex, page, pageCount) => {
          this.#discarded = true;
          this.pages.discarded(blockIndex, page, pageCount);
        },
        endOfPrecopy: (buffer, start, end) => {
          if (this.#ending.push(buffer.subarray(start, end))) this.#handler.precopyEnds();
        },
        packageBegins: () => {
          this.pages.checkMemory();
          if (!this.#discarded) this.#discardOne();
          this.#handler.packageBegins();
          this.#onEvent({ event: 'switch-over' });
        },
        packageEnds: () => {
          this.#handler.packageComplete();
        },
        streamEnds: () => {
          this.#handler.drained();
        },
        deviceState: () => {
          this.#mayEnd = true;
          this.#onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          refuseUnvouched(code, reason, this.injector.reader.mayBecomePostcopy);
          this.#mayEnd = true;
          this.#onEvent({ event: 'stream-unfilterable', code, reason });
          this.#schedule.noList();
        },
      },
      (buffer, start, end) => {
        batch.add(buffer, start, end);
        if (!this.#mayEnd) return;
        const wasComplete = this.#end.complete;
        if (this.#end.push(buffer.subarray(start, end))) this.#handler.complete();
        else if (wasComplete) this.#handler.goesOn();
      },
      {
        holdAtEnd: true,
        postcopy,
        refuseBitmaps: postcopy,
        becomesPostcopy: () => this.#schedule.becomesPostcopy && this.pages.canThrowAway,
      },
    );
  }

  /**
   * A target that was told to throw nothing away refuses to run in post-copy: its preparation for it comes with LISTEN then, and
   * sets the state back (migration/savevm.c, loadvm_postcopy_handle_listen; migration/postcopy-ram.c, postcopy_ram_prepare_discard).
   *
   * @throws CodedError 'source', 'no-postcopy' if no page can be sent again
   */
  #discardOne(): void {
    const page = this.pages.throwAway();
    const name = this.injector.reader.blockNames[page?.blockIndex ?? -1];
    if (page === undefined || name === undefined)
      throw new CodedError(
        'source',
        'no-postcopy',
        'QEMU went over to post-copy with nothing left to send, which its target does not take; migrate again',
      );
    const command = writeDiscard(name, page.pageIndex);
    this.#link.batch.add(command, 0, command.length);
  }
}
