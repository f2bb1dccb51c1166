/** A guest's memory in simulated time. A page's content is its version: how often the guest has written it. */
import type { GuestRam, PageHash } from '../core/outside.ts';
import { decodePageList, encodePageList, type PackedPageList } from '../list/page-list-codec.ts';
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

/** Writes how the content of a page in a version begins: it names both. The rest of it are zeros; `simulatedHash` does not look there. */
export function writeContentName(page: number, version: number, into: Buffer, offset: number): void {
  into.writeUInt32LE(page + 1, offset);
  into.writeUInt32LE(version, offset + 4);
}

export function versionIn(buffer: Buffer, offset: number): number {
  return buffer.readUInt32LE(offset + 4);
}

/** The content's own name of itself, in place of a hash. */
export const simulatedHash: PageHash = {
  hashPage: (buffer, offset, into, index) => {
    into[index] = wordAt(buffer, offset);
    into[index + 1] = wordAt(buffer, offset + 4);
  },
};

/** Little-endian; a DataView for each page would cost more than all else that is done for it. */
function wordAt(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset] ?? 0) |
    ((bytes[offset + 1] ?? 0) << 8) |
    ((bytes[offset + 2] ?? 0) << 16) |
    ((bytes[offset + 3] ?? 0) << 24)
  );
}

/** Pages of a database page: they lie together in memory and on storage. */
const runPages = 4;

export class SimulatedGuest implements GuestRam {
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

  read(page: number, count: number, into: Buffer, offset: number): void {
    into.fill(0, offset, offset + count * pageSizeBytes);
    for (let i = 0; i < count; i++) {
      if (this.zero[page + i] === 1) continue;
      writeContentName(page + i, this.versions[page + i] ?? 0, into, offset + i * pageSizeBytes);
    }
  }

  /** The list as the agent sends it: block n of storage is page n of `list`. */
  packedList(): PackedPageList {
    const runs = this.list.length / runPages;
    return decodePageList(
      encodePageList({
        sources: [{ kind: 'disk', disk: 'vda' }],
        runs: {
          firstColdRun: runs,
          sourceIndex: new Uint16Array(runs),
          storageBlock: Uint32Array.from({ length: runs }, (_, run) => run * runPages),
          guestFrame: Uint32Array.from({ length: runs }, (_, run) => this.list[run * runPages] ?? 0),
          count: new Uint16Array(runs).fill(runPages),
        },
        pageCount: this.list.length,
        guestRam: [[0, this.pageCount - 1]],
        timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
        leftOut: {},
        failures: [],
        server: {
          ...{ product: 'other', version: '', method: 'descriptors' },
          ...{ cachedPages: runs, dirtyPages: 0, excludedPages: 0 },
        },
      }),
      { maxPages: this.pageCount },
    );
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
