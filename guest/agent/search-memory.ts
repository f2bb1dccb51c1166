/** A server's memory as it is searched: what calls itself one can make that take any time. */
import type { Deadline } from './deadline.ts';
import type { Mapping, Memory } from './process-memory.ts';

/** For what is read of it in any case, and for reading all that a server has in memory, in an emulated guest. */
const leastMs = 10_000;
const residentBytesPerMs = 64 * 1024;

/** How long a server's memory is searched, at most. */
export const searchMs = (residentBytes: number): number => leastMs + residentBytes / residentBytesPerMs;

/** Of that time, where each page is looked at: what is found by then is listed, and the rest of the time is for that. */
const shareForPages = 0.8;

/** @param search for all that is read of a server's memory */
export const pagesDeadline = (search: Deadline): Deadline =>
  search.within(shareForPages * search.remainingMs);

export class SearchMemory implements Memory {
  readonly #memory: Memory;
  readonly #areas: readonly Pick<Mapping, 'start' | 'end'>[];
  readonly #deadline: Deadline;

  /** @param areas all that is read, in ascending order: what lies behind one may be a user's file system's */
  constructor(memory: Memory, areas: readonly Pick<Mapping, 'start' | 'end'>[], deadline: Deadline) {
    this.#memory = memory;
    this.#areas = areas;
    this.#deadline = deadline;
  }

  /** @throws GuestError 'too-slow' */
  read(address: number, into: Uint8Array): number {
    this.#deadline.check();
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
