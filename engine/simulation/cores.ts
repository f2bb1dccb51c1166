/** A host's processors in simulated time, and what a migration costs them. */
import { zstdBytesPerSecondPerCore } from './migration.ts';

/**
 * CPU seconds for a GiB of pages. Where nothing else is said they are those of results/bench/pair.txt (`npm run bench -- pair`), medians
 * of the methods named.
 */
export const cpuSecondsPerGib = {
  /** QEMU at the source: to find pages, and to write them to its socket. Of all that go through engines. */
  emits: 0.9,
  /** The source engine: to read what QEMU emits, to compare it with what was planned, and to pass the rest on. Of restore. */
  filters: 1.7,
  /** The source engine: to read a page from the VM's memory and to send it; as a socket's two ends, not measured by itself. */
  sendsFromMemory: 0.5,
  /** zstd level 1, of pages of InnoDB (`zstdBytesPerSecondPerCore`). */
  compresses: 2 ** 30 / zstdBytesPerSecondPerCore,
  decompresses: 0.9,
  /** QEMU at the destination: to read pages from its socket and to put them into memory. Of what is streamed without zstd. */
  loads: 1,
  /** The destination engine: to receive pages or to read them from storage, to compare these, and to put them into the target's memory. Of restore. */
  places: 1.25,
} as const;

export class SimulatedCores {
  /** What they have done. */
  cpuMs = 0;
  readonly #cores: number;
  #creditMs = 0;

  /** @param cores that nothing else uses; may be Infinity */
  constructor(cores: number) {
    this.#cores = cores;
  }

  /** A step of time begins. What was begun and not finished in the last is finished first; what nobody used is gone. */
  begin(stepMs: number): void {
    this.#creditMs = Math.min(this.#creditMs, 0) + this.#cores * stepMs;
  }

  /** Whether something may begin. */
  get areFree(): boolean {
    return this.#creditMs > 0;
  }

  /** Share of them that nothing has used. @param usedMs `cpuMs` of `elapsedMs` ago */
  idleShare(usedMs: number, elapsedMs: number): number {
    return Math.max(0, 1 - (this.cpuMs - usedMs) / (this.#cores * elapsedMs));
  }

  work(bytes: number, secondsPerGib: number): void {
    const ms = (bytes / 2 ** 30) * secondsPerGib * 1000;
    this.#creditMs -= ms;
    this.cpuMs += ms;
  }
}
