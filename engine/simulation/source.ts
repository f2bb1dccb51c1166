/**
 * The source engine in simulated time: the real GuestPages, Schedule and SwitchoverHold, between a simulated QEMU and a
 * simulated wire. docs/engine-design.md says what they do.
 */
import type { EngineEvent } from '../core/engine-event.ts';
import { GuestPages } from '../core/guest-pages.ts';
import type { StreamWriter } from '../core/outside.ts';
import { type Load, Scarcity } from '../core/scarcity.ts';
import { Schedule, type Strategy } from '../core/schedule.ts';
import { SwitchoverHold } from '../core/switchover-hold.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import { cpuSecondsPerGib, type SimulatedCores } from './cores.ts';
import { type SimulatedGuest, simulatedHash, versionIn, writeContentName } from './guest.ts';
import type { Wire } from './wire.ts';

export class SimulatedSource {
  /** QEMU knows that the target has acknowledged the switchover. */
  acknowledged = false;
  /** The list is there and was of use. */
  hasList = false;
  readonly #guest: SimulatedGuest;
  readonly #wire: Wire;
  readonly #cores: SimulatedCores;
  readonly #schedule: Schedule;
  readonly #pages: GuestPages;
  readonly #hold: SwitchoverHold;
  readonly #scarcity = new Scarcity();
  /** Of QEMU's record: zeros but for the name of a page's content. */
  readonly #content = Buffer.alloc(pageSizeBytes);

  constructor(
    guest: SimulatedGuest,
    strategy: Strategy,
    shareBeforeSwitch: number,
    wire: Wire,
    cores: SimulatedCores,
  ) {
    this.#guest = guest;
    this.#wire = wire;
    this.#cores = cores;
    this.#schedule = new Schedule(strategy, shareBeforeSwitch);
    const map = [{ firstFrame: 0, pages: guest.pageCount, blockIndex: 0, firstPage: 0 }];
    const ram = { block: () => guest, map: () => map, close: () => undefined };
    const takeEvent = ({ event }: EngineEvent): void => {
      if (event === 'accepted') this.hasList = true;
    };
    this.#pages = new GuestPages(this.#schedule, simulatedHash, ram, takeEvent, writerOf(wire, cores));
    this.#hold = new SwitchoverHold(this.#schedule, this.#pages, takeEvent, {
      expectStop: () => {
        wire.expectWaiting();
      },
      prepareMove: () => undefined,
      allowSwitchover: () => {
        wire.allowSwitchover();
      },
      mayEnd: () => true,
      releaseEnd: () => undefined,
      toQemu: () => {
        this.acknowledged = true;
      },
      wakeIn: () => undefined,
    });
    const { pageCount } = guest;
    const block = { index: 0, name: 'pc.ram', lengthBytes: pageCount * pageSizeBytes, pageCount };
    this.#pages.takeBlocks([block], '');
    // The target acknowledges the switchover as soon as it has seen the stream's beginning.
    this.#hold.pushReturnPath(
      encodeReturnPathMessage({ type: returnPathMessage.switchoverAck, data: Buffer.alloc(0) }),
    );
  }

  get holdsQemu(): boolean {
    return this.#hold.holdsQemu;
  }

  get gateOpen(): boolean {
    return this.#schedule.gateOpen;
  }

  get asksForList(): boolean {
    return this.#schedule.asksForList;
  }

  /** What the migration is short of is measured. */
  measured(load: Omit<Load, 'room' | 'wireBytes' | 'rawBytes'>, nowMs: number): void {
    const { room, link, rawBytes } = this.#wire;
    if (!this.#scarcity.measured({ ...load, room, wireBytes: link.bytes, rawBytes }, nowMs)) return;
    const { scarce } = this.#scarcity;
    if (scarce === undefined) return;
    this.#schedule.isShortOf(scarce);
    this.#wire.compress(scarce === 'link');
  }

  takeList(): void {
    const list = this.#guest.packedList();
    this.#pages.takeList(list);
    this.#pages.takeStorage({
      storage: [{ usable: true, sizeBytes: list.pageCount * pageSizeBytes }],
    });
  }

  /** QEMU's next record, or -1 for a part of the RAM section without any. */
  takeRecord(page: number, nowMs: number): void {
    this.#pages.chunkComes(nowMs);
    if (page < 0) {
      this.#pages.partEnds();
    } else if (this.#guest.zero[page] === 1) {
      this.#pages.zeroRecord(0, page);
      this.#wire.sendZeroPage(page);
    } else {
      const version = this.#guest.versions[page] ?? 0;
      writeContentName(page, version, this.#content, 0);
      if (this.#pages.pageRecord(0, page, this.#content, 0)) this.#wire.sendPage(page, version);
    }
    this.#pages.chunkTaken();
    this.#hold.update(nowMs);
  }

  /** QEMU goes over to post-copy: the target throws these pages away, and QEMU sends them. */
  discarded(pages: readonly number[]): void {
    for (const page of pages) this.#pages.discarded(0, page, 1);
  }

  takeStatus(status: RestoreStatus, nowMs: number): void {
    this.#pages.takeStatus(status, nowMs);
  }

  /** Pages that storage did not give. */
  takeAsk(pages: readonly number[]): void {
    this.#pages.takeAsk(pages.map((pageIndex) => ({ blockIndex: 0, pageIndex })));
  }

  /** Does all that there is to do. */
  advance(nowMs: number): void {
    while (this.#pages.advance(this.holdsQemu, this.#cores.areFree)) continue;
    this.#hold.update(nowMs);
  }
}

function writerOf(wire: Wire, cores: SimulatedCores): StreamWriter {
  return {
    canInject: true,
    injectPage: (_block, page, buffer, offset) => {
      cores.work(pageSizeBytes, cpuSecondsPerGib.sendsFromMemory);
      wire.sendPage(page, versionIn(buffer, offset));
    },
    injectZeroPage: (_block, page) => {
      wire.sendZeroPage(page);
    },
    sendPlan: (part) => {
      wire.sendPlan(part);
    },
    get room() {
      return wire.room;
    },
  };
}
