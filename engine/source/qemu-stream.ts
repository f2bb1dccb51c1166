/**
 * QEMU's stream on its way through the source engine: records of listed pages are left out of it, pages and plans are put
 * into it, and its end is recognised.
 */
import type { EventSink } from '../restore/engine-event.ts';
import type { Schedule } from '../restore/schedule.ts';
import { StreamInjector } from '../stream/injector.ts';
import { encodePlanPart } from '../wire/plan-codec.ts';
import type { DestinationLink } from './destination-link.ts';
import { GuestPages } from './guest-pages.ts';
import type { GuestRamPlace } from './guest-ram.ts';
import { StreamEnd } from './stream-end.ts';

/** QEMU that is silent for so long in its device state has said all, though the end was not recognised. */
const silentEndMs = 100;

export class QemuStream {
  readonly pages: GuestPages;
  readonly injector: StreamInjector;
  readonly #schedule: Schedule;
  readonly #link: DestinationLink;
  readonly #onEvent: EventSink;
  readonly #onComplete: () => void;
  readonly #end = new StreamEnd();
  #machine = '';
  #inDeviceState = false;
  #silence: NodeJS.Timeout | undefined;

  /** @param onComplete called when QEMU has sent everything; perhaps several times */
  constructor(
    schedule: Schedule,
    ram: GuestRamPlace | undefined,
    link: DestinationLink,
    onEvent: EventSink,
    onComplete: () => void,
  ) {
    this.#schedule = schedule;
    this.#link = link;
    this.#onEvent = onEvent;
    this.#onComplete = onComplete;
    this.injector = this.#createInjector();
    this.pages = new GuestPages(schedule, ram, onEvent, {
      injector: this.injector,
      sendPlan: (part) => {
        link.sendInOrder('plan', encodePlanPart(part), true);
      },
      get room() {
        return link.room;
      },
    });
  }

  /** The stream cannot be filtered: when it is complete is between the two QEMUs. */
  get passesThrough(): boolean {
    return this.injector.reader.position === 'pass-through';
  }

  /**
   * Takes a chunk of it. Returns false if all of RAM was read: its end waits for `injector.release`. Throws as
   * StreamInjector.push and GuestPages.chunkTaken do.
   */
  push(chunk: Buffer): boolean {
    this.pages.chunkComes(performance.now());
    const goesOn = this.injector.push(chunk);
    this.pages.chunkTaken();
    return goesOn;
  }

  /** No longer waits for QEMU to be silent. */
  stopWatching(): void {
    clearTimeout(this.#silence);
  }

  #createInjector(): StreamInjector {
    const { batch } = this.#link;
    return new StreamInjector(
      {
        configuration: ({ machine }) => {
          this.#machine = machine;
        },
        ramBlocks: (blocks) => {
          const pages = blocks.reduce((sum, { pageCount }) => sum + pageCount, 0);
          this.#onEvent({
            event: 'qemu-connected',
            machine: this.#machine,
            ram_blocks: blocks.length,
            ram_pages: pages,
          });
          this.pages.takeBlocks(blocks);
        },
        page: (blockIndex, page, buffer, offset) => this.pages.pageRecord(blockIndex, page, buffer, offset),
        zeroPage: (blockIndex, page) => {
          this.pages.zeroRecord(blockIndex, page);
        },
        ramSectionEnds: () => {
          this.pages.partEnds();
        },
        deviceState: () => {
          this.#inDeviceState = true;
          this.#onEvent({ event: 'switch-over' });
        },
        unsupported: (code, reason) => {
          this.#onEvent({ event: 'stream-unfilterable', code, reason });
          this.#schedule.noList();
        },
      },
      (buffer, start, end) => {
        batch.add(buffer, start, end);
        if (this.#inDeviceState) this.#watchEnd(buffer.subarray(start, end));
      },
      { holdAtEnd: true },
    );
  }

  /** Looks for the end of the stream, upon which the target may get the last byte. */
  #watchEnd(deviceState: Buffer): void {
    clearTimeout(this.#silence);
    const complete = this.#end.push(deviceState);
    this.#silence = setTimeout(this.#onComplete, complete ? 0 : silentEndMs);
  }
}
