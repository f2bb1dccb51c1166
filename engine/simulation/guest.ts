/** A guest's memory in simulated time. A page's content is its version: how often the guest has written it. */
import { pageSizeBytes } from '../list/page-list.ts';
import { Random } from './random.ts';

export interface GuestShape {
  readonly memoryBytes: number;
  /** Share of memory that holds zeros, 0 to 1. */
  readonly zeroShare: number;
  /** Share of the rest that storage has too. */
  readonly listedShare: number;
  /** Bytes of whole pages that the guest writes in a second. */
  readonly dirtyBytesPerSecond: number;
  /** Share of the pages that are not zero that it writes, each as likely as the other. */
  readonly hotShare: number;
}

/** Pages of a database page: they lie together in memory and on storage. */
const runPages = 4;

export class SimulatedGuest {
  readonly pageCount: number;
  readonly zero: Uint8Array;
  /** Pages that storage holds in version 0, in storage order. */
  readonly list: Uint32Array;
  readonly versions: Uint32Array;
  readonly #hot: Uint32Array;
  readonly #pagesPerMs: number;
  readonly #random: Random;
  readonly #logged: Uint8Array;
  #log: number[] = [];
  #writes = 0;

  constructor(shape: GuestShape, seed: number) {
    const random = new Random(seed);
    const runs = Math.max(4, Math.round(shape.memoryBytes / pageSizeBytes / runPages));
    this.pageCount = runs * runPages;
    this.#random = random;
    this.versions = new Uint32Array(this.pageCount);
    this.zero = new Uint8Array(this.pageCount);
    this.#logged = new Uint8Array(this.pageCount);
    const order = random.shuffle(Uint32Array.from({ length: runs }, (_, run) => run));
    const zeroRuns = Math.round(runs * shape.zeroShare);
    const listedRuns = Math.round((runs - zeroRuns) * shape.listedShare);
    this.list = pagesOf(order.subarray(zeroRuns, zeroRuns + listedRuns));
    for (const page of pagesOf(order.subarray(0, zeroRuns))) this.zero[page] = 1;
    const used = random.shuffle(pagesOf(order.subarray(zeroRuns)));
    this.#hot = used.subarray(0, Math.ceil(used.length * shape.hotShare));
    this.#pagesPerMs = this.#hot.length === 0 ? 0 : shape.dirtyBytesPerSecond / pageSizeBytes / 1000;
  }

  /** The guest runs for a while. */
  run(ms: number): void {
    this.#writes += ms * this.#pagesPerMs;
    for (; this.#writes >= 1; this.#writes--) {
      const page = this.#hot[this.#random.below(this.#hot.length)] ?? 0;
      this.versions[page] = (this.versions[page] ?? 0) + 1;
      if (this.#logged[page] === 1) continue;
      this.#logged[page] = 1;
      this.#log.push(page);
    }
  }

  /** Pages written since the last call, as QEMU's dirty log tells them. */
  takeLog(): readonly number[] {
    const log = this.#log;
    for (const page of log) this.#logged[page] = 0;
    this.#log = [];
    return log;
  }
}

function pagesOf(runs: Uint32Array): Uint32Array {
  const pages = new Uint32Array(runs.length * runPages);
  runs.forEach((run, index) => {
    for (let i = 0; i < runPages; i++) pages[index * runPages + i] = run * runPages + i;
  });
  return pages;
}
