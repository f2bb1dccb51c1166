/** The destination engine in simulated time: the real RestorePlan and StatusReport, with storage and the target in place of Restorer and QEMU. */
import { pageSizeBytes } from '../list/page-list.ts';
import { type Extent, RestorePlan, storageReads } from '../core/restore-plan.ts';
import { StatusReport } from '../core/status-report.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import { cpuSecondsPerGib, type SimulatedCores } from './cores.ts';
import { type SimulatedGuest, simulatedHash, writeContentName } from './guest.ts';
import { constantRate, SimulatedLink } from './link.ts';
import { type Setup, stepMs } from './migration.ts';
import type { Frame } from './wire.ts';

export class SimulatedDestination {
  readonly storageLink: SimulatedLink;
  /** Version of each page in the target's memory. */
  readonly atTarget: Uint32Array;
  readonly #plan = new RestorePlan();
  readonly #list: Uint32Array;
  /** The one thread that puts pages into the target's memory: the engine's, or that of QEMU's loader. */
  readonly #target: SimulatedLink;
  readonly #cores: SimulatedCores;
  /** Of what it takes, from the stream or from storage. */
  readonly #cpuSecondsPerGib: number;
  readonly #reading: Extent[] = [];
  readonly #read: Extent[] = [];
  #asked: number[] = [];
  readonly #content = Buffer.alloc(storageReads.bytes);
  readonly #report: StatusReport;

  /** @param onStatus takes what the source is told */
  constructor(
    guest: SimulatedGuest,
    setup: Setup,
    cores: SimulatedCores,
    onStatus: (status: RestoreStatus) => void,
  ) {
    const { places, loads } = cpuSecondsPerGib;
    this.storageLink = new SimulatedLink(setup.storageRate);
    this.#cores = cores;
    this.#cpuSecondsPerGib = setup.places ? places : places + loads;
    this.#target = new SimulatedLink(
      constantRate(setup.places ? 2 ** 30 / places : setup.targetBytesPerSecond),
    );
    this.atTarget = new Uint32Array(guest.pageCount).fill(0xffff_ffff);
    this.#list = guest.list;
    this.#report = new StatusReport(this.#plan, () => this.storageLink.bytes, onStatus);
  }

  /** Time in which it had pages to put into the target's memory. */
  get busyMs(): number {
    return this.#target.busyMs;
  }

  get pendingPages(): number {
    return this.#plan.pendingPages;
  }

  get restoredPages(): number {
    return this.#plan.restoredPages;
  }

  /** Tells the source how far it is. @param due whether the time for it has come */
  report(due: boolean): void {
    if (due) this.#report.send();
    else this.#report.sendIfNothingPends();
  }

  begin(nowMs: number): void {
    this.storageLink.begin(nowMs, stepMs);
    this.#target.begin(nowMs, stepMs);
  }

  /** Takes a frame, if the target has room for it. */
  take(frame: Frame): boolean {
    switch (frame.is) {
      case 'plan':
        this.#plan.add(frame.part, this.atTarget.length, this.#list.length);
        return true;
      case 'package':
        return true;
      case 'zero-page':
        this.#setPage(frame.page, 0);
        return true;
      case 'page':
        if (!this.#target.has(pageSizeBytes) || !this.#cores.areFree) return false;
        this.#target.spend(pageSizeBytes);
        this.#cores.work(
          pageSizeBytes,
          this.#cpuSecondsPerGib + (frame.compressed ? cpuSecondsPerGib.decompresses : 0),
        );
        this.#setPage(frame.page, frame.version);
        return true;
    }
  }

  /** Reads storage and hands over what was read. Returns pages that storage does not have. */
  restore(): readonly number[] {
    this.#startReads();
    for (let extent = this.#reading[0]; extent !== undefined; extent = this.#reading[0]) {
      if (!this.storageLink.has(extent.lengthBytes)) break;
      this.storageLink.spend(extent.lengthBytes);
      this.#read.push(extent);
      this.#reading.shift();
      this.#handOver();
      this.#startReads();
    }
    this.#handOver();
    const asked = this.#asked;
    this.#asked = [];
    return asked;
  }

  /** The step ends. */
  end(): void {
    this.storageLink.end(this.#reading[0]?.lengthBytes ?? 0);
    this.#target.end(storageReads.bytes);
  }

  #startReads(): void {
    while (
      this.#reading.length < storageReads.atOnce &&
      this.#reading.length + this.#read.length < storageReads.buffers
    ) {
      const extent = this.#plan.nextExtent(storageReads.bytes);
      if (extent === undefined) return;
      this.#reading.push(extent);
    }
  }

  #handOver(): void {
    for (let extent = this.#read[0]; extent !== undefined; extent = this.#read[0]) {
      if (!this.#target.has(extent.pageCount * pageSizeBytes) || !this.#cores.areFree) return;
      this.#read.shift();
      this.#readContent(extent);
      this.#plan.finish(extent, this.#content, simulatedHash, {
        take: (_block, page) => {
          this.#target.spend(pageSizeBytes);
          this.#cores.work(pageSizeBytes, this.#cpuSecondsPerGib);
          this.atTarget[page] = 0;
        },
        ask: (pages) => this.#asked.push(...pages.map(({ pageIndex }) => pageIndex)),
      });
    }
  }

  /** Storage has version 0 of each page of the list. */
  #readContent({ offsetBytes, slots }: Extent): void {
    for (const slot of slots) {
      const page = this.#list[offsetBytes / pageSizeBytes + slot] ?? 0;
      writeContentName(page, 0, this.#content, slot * pageSizeBytes);
    }
  }

  #setPage(page: number, version: number): void {
    this.atTarget[page] = version;
    this.#plan.supersede(0, page);
  }
}
