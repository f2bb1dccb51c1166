/** The connection between the engines in simulated time: frames in order, no more under way than the real SendWindow lets. */
import { pageSizeBytes } from '../list/page-list.ts';
import { type PlanPart, planPartBytes } from '../wire/plan-codec.ts';
import { SendWindow } from '../wire/send-window.ts';
import { cpuSecondsPerGib, type SimulatedCores } from './cores.ts';
import { constantRate, SimulatedLink } from './link.ts';
import { deviceStateBytes, recordHeaderBytes, type Setup, stepMs, zeroRecordBytes } from './migration.ts';

export type Frame =
  | {
      readonly is: 'page';
      readonly bytes: number;
      readonly compressed: boolean;
      readonly page: number;
      readonly version: number;
    }
  | { readonly is: 'zero-page'; readonly bytes: number; readonly page: number }
  | { readonly is: 'plan'; readonly bytes: number; readonly part: PlanPart }
  /** Early resume: with it the target can run. */
  | { readonly is: 'package'; readonly bytes: number };

export class Wire {
  readonly link: SimulatedLink;
  readonly #compressors: SimulatedLink;
  readonly #cores: SimulatedCores;
  readonly #ratio: number;
  readonly #window = new SendWindow(true);
  #frames: Frame[] = [];
  #head = 0;
  #outstandingBytes = 0;
  #compresses = false;
  /** Bytes of all frames before compression. */
  rawBytes = 0;

  constructor(setup: Setup, compressed: boolean, cores: SimulatedCores) {
    this.link = new SimulatedLink(setup.migrationRate);
    this.#cores = cores;
    this.#ratio = compressed ? setup.compressionRatio : 1;
    this.#compressors = new SimulatedLink(constantRate(setup.compressorBytesPerSecond));
  }

  /** Share of the send window that is free. */
  get room(): number {
    return 1 - this.#outstandingBytes / this.#window.limitBytes;
  }

  compress(compresses: boolean): void {
    this.#compresses = compresses;
  }

  allowSwitchover(): void {
    this.#window.allowSwitchover();
  }

  expectWaiting(): void {
    this.#window.expectWaiting();
  }

  get isEmpty(): boolean {
    return this.#head === this.#frames.length;
  }

  sendPage(page: number, version: number): void {
    // What finds no compressor free is sent as it is.
    const compressed =
      this.#compresses && this.#ratio > 1 && this.#compressors.has(pageSizeBytes) && this.#cores.areFree;
    if (compressed) {
      this.#compressors.spend(pageSizeBytes);
      this.#cores.work(pageSizeBytes, cpuSecondsPerGib.compresses);
    }
    const bytes = recordHeaderBytes + (compressed ? pageSizeBytes / this.#ratio : pageSizeBytes);
    this.#add({ is: 'page', bytes, compressed, page, version });
  }

  sendZeroPage(page: number): void {
    this.#add({ is: 'zero-page', bytes: zeroRecordBytes, page });
  }

  sendPlan(part: PlanPart): void {
    this.#add({ is: 'plan', bytes: planPartBytes(part), part });
  }

  sendPackage(): void {
    this.#add({ is: 'package', bytes: deviceStateBytes });
  }

  begin(nowMs: number): void {
    this.link.begin(nowMs, stepMs);
    this.#compressors.begin(nowMs, stepMs);
  }

  /** Delivers what the link has carried; `take` returns whether the target has room for the frame. */
  deliver(nowMs: number, qemuWaits: boolean, take: (frame: Frame) => boolean): void {
    for (let frame = this.#frames[this.#head]; frame !== undefined; frame = this.#frames[this.#head]) {
      if (!this.link.has(frame.bytes) || !take(frame)) break;
      this.link.spend(frame.bytes);
      this.#outstandingBytes -= frame.bytes;
      this.#head += 1;
    }
    if (this.#head > 65_536) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    this.#window.acknowledged(this.link.bytes, nowMs, this.#outstandingBytes, qemuWaits);
  }

  /** The step ends; after the frames that wait, `thenBytes` are to be sent. */
  end(thenBytes: number): void {
    this.link.end(this.#frames[this.#head]?.bytes ?? thenBytes);
    // Compressors that had nothing to do cannot catch up.
    this.#compressors.end(pageSizeBytes);
  }

  #add(frame: Frame): void {
    this.#frames.push(frame);
    this.rawBytes += frame.is === 'page' ? recordHeaderBytes + pageSizeBytes : frame.bytes;
    this.#outstandingBytes += frame.bytes;
  }
}
