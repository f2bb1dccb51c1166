/**
 * Restores pages from shared storage: keeps a few large reads going, verifies each block against the plan's hash, and
 * hands pages over in the order in which reads come back. Memory is bounded by its buffers.
 */
import { isCoded } from '../../foundation/coded-error.ts';
import type { PageHasher } from '../list/content-hash.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { PageName } from '../wire/plan-codec.ts';
import { allocateAligned } from '../storage/file-storage.ts';
import type { Extent, RestorePlan } from '../core/restore-plan.ts';
import type { StorageReader } from '../storage/storage-reader.ts';

/** Large enough for a spinning disk or an NFS server to stream. */
const readBytes = 1024 * 1024;
/** Reads at once: enough to keep a link busy over a round trip. */
const readsAtOnce = 6;
/** Blocks that were read and wait to be handed over; beyond it reading stops. */
const buffers = 12;

/** Where restored pages go. */
export interface RestoreSink {
  /** Whether pages can be taken now; `pump` is called when that changes. */
  readonly canTake: boolean;
  /** Takes a page; the buffer is valid only during the call. */
  take(blockIndex: number, page: number, buffer: Buffer, offset: number): void;
  /** Called after each row of `take`. */
  taken(): void;
  /** The pages must be asked of the source: storage has other content, or cannot be read. */
  ask(pages: readonly PageName[]): void;
  /** A read failed; its pages are asked for. */
  readFailed(error: unknown): void;
  /** Something went wrong that is not the storage's fault. */
  fail(error: unknown): void;
}

export class Restorer {
  restoredPages = 0;
  mismatchedPages = 0;
  unreadablePages = 0;
  /** Bytes read from storage. */
  storageBytes = 0;
  readonly #plan: RestorePlan;
  readonly #readers: readonly (StorageReader | undefined)[];
  readonly #hasher: () => PageHasher;
  readonly #sink: RestoreSink;
  readonly #free: Buffer[] = [];
  readonly #read: { readonly extent: Extent; readonly buffer: Buffer; readonly error: unknown }[] = [];
  readonly #hash = new Uint32Array(2);
  #reading = 0;
  #stopped = false;

  /**
   * @param readers by source index
   * @param hasher with the key that came with the sources
   */
  constructor(
    plan: RestorePlan,
    readers: readonly (StorageReader | undefined)[],
    hasher: () => PageHasher,
    sink: RestoreSink,
  ) {
    this.#plan = plan;
    this.#readers = readers;
    this.#hasher = hasher;
    this.#sink = sink;
    const arena = allocateAligned(buffers * readBytes);
    for (let i = 0; i < buffers; i++) this.#free.push(arena.subarray(i * readBytes, (i + 1) * readBytes));
  }

  /** Hands over what was read and starts reads, as far as there is room. */
  pump(): void {
    if (this.#stopped) return;
    this.#handOver();
    while (this.#reading < readsAtOnce) {
      const buffer = this.#free.pop();
      if (buffer === undefined) return;
      const extent = this.#plan.nextExtent(readBytes);
      if (extent === undefined) {
        this.#free.push(buffer);
        return;
      }
      this.#start(extent, buffer);
    }
  }

  /** Starts no more reads; those that run come to nothing. */
  stop(): void {
    this.#stopped = true;
  }

  #start(extent: Extent, buffer: Buffer): void {
    this.#reading += 1;
    const into = buffer.subarray(0, extent.lengthBytes);
    const reader = this.#readers[extent.sourceIndex];
    const finish = (error?: unknown): void => {
      this.#reading -= 1;
      if (error === undefined) this.storageBytes += extent.lengthBytes;
      else this.#sink.readFailed(error);
      this.#read.push({ extent, buffer, error });
      this.pump();
    };
    // A source without a reader is refused when it is announced, so that no plan names it.
    if (reader === undefined) throw new Error(`source ${extent.sourceIndex} has no storage`);
    reader
      .read(into, extent.offsetBytes)
      .then(
        () => {
          finish();
        },
        (error: unknown) => {
          finish(error);
        },
      )
      .catch((error: unknown) => {
        this.#sink.fail(error);
      });
  }

  #handOver(): void {
    let any = false;
    while (this.#read.length > 0 && this.#sink.canTake) {
      const next = this.#read.shift();
      if (next === undefined) break;
      this.#handOverExtent(next.extent, next.buffer, next.error !== undefined);
      this.#plan.extentDone(next.extent);
      // A read that was given up may still write into its buffer.
      if (!(isCoded(next.error, 'storage') && next.error.code === 'no-answer')) this.#free.push(next.buffer);
      any = true;
    }
    if (any) this.#sink.taken();
  }

  #handOverExtent(extent: Extent, buffer: Buffer, failed: boolean): void {
    const { blockIndex, pages, slots, hashes } = extent;
    const asked: PageName[] = [];
    const hasher = this.#hasher();
    for (let i = 0; i < extent.pageCount; i++) {
      const page = pages[i] ?? 0;
      // A newer record may have come while the block was read.
      if (!this.#plan.isPending(blockIndex, page)) continue;
      const offset = (slots[i] ?? 0) * pageSizeBytes;
      if (!failed) {
        hasher.hashPage(buffer, offset, this.#hash, 0);
        if (this.#hash[0] === hashes[2 * i] && this.#hash[1] === hashes[2 * i + 1]) {
          this.#sink.take(blockIndex, page, buffer, offset);
          this.#plan.settle(blockIndex, page);
          this.restoredPages += 1;
          continue;
        }
      }
      if (failed) this.unreadablePages += 1;
      else this.mismatchedPages += 1;
      this.#plan.ask(blockIndex, page);
      asked.push({ blockIndex, pageIndex: page });
    }
    if (asked.length > 0) this.#sink.ask(asked);
  }
}
