/** A server's memory as it is searched: what calls itself one can make that take any time. */
import { GuestError } from '../guest-error.ts';
import type { Mapping, Memory } from '../process-memory.ts';

/** For what is read of it in any case, and for reading all that a server has in memory, in an emulated guest. */
const leastMs = 10_000;
const residentBytesPerMs = 64 * 1024;
/** The host waits for a list no longer than a minute. */
const mostMs = 40_000;

export const searchMs = (residentBytes: number): number =>
  Math.min(mostMs, leastMs + residentBytes / residentBytesPerMs);

export class SearchMemory implements Memory {
  readonly #memory: Memory;
  readonly #areas: readonly Pick<Mapping, 'start' | 'end'>[];
  readonly #limitMs: number;
  readonly #nowMs: () => number;
  readonly #startMs: number;

  /** @param areas all that is read, in ascending order: what lies behind one may be a user's file system's */
  constructor(
    memory: Memory,
    areas: readonly Pick<Mapping, 'start' | 'end'>[],
    limitMs: number,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#memory = memory;
    this.#areas = areas;
    this.#limitMs = limitMs;
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
  }

  /** @throws GuestError 'too-slow' */
  read(address: number, into: Uint8Array): number {
    if (this.#nowMs() - this.#startMs > this.#limitMs)
      throw new GuestError('too-slow', `its pages are not found within ${Math.round(this.#limitMs)} ms`);
    const readable = this.#endOf(address) - address;
    if (readable <= 0) return 0;
    return this.#memory.read(address, into.length <= readable ? into : into.subarray(0, readable));
  }

  /** End of the areas that follow each other from the one with the address on; 0 without one. */
  #endOf(address: number): number {
    let first = 0;
    let last = this.#areas.length;
    while (first < last) {
      const middle = (first + last) >>> 1;
      if ((this.#areas[middle]?.end ?? 0) <= address) first = middle + 1;
      else last = middle;
    }
    if ((this.#areas[first]?.start ?? Infinity) > address) return 0;
    let end = this.#areas[first]?.end ?? 0;
    while (this.#areas[first + 1]?.start === end) end = this.#areas[++first]?.end ?? 0;
    return end;
  }
}
