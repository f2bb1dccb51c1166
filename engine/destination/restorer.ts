/**
 * Restores pages from shared storage: keeps a few large reads going, verifies each block against the plan's hash, and
 * hands pages over in the order in which reads come back. Memory is bounded by its buffers, and by those that hung reads keep.
 */
import { isCoded } from '../../foundation/coded-error.ts';
import { allocateAligned } from '../storage/file-storage.ts';
import type { PageHash } from '../core/outside.ts';
import { type Extent, type RestoredPages, type RestorePlan, storageReads } from '../core/restore-plan.ts';
import type { StorageReader } from '../storage/storage-reader.ts';

/** Where they are read. */
export interface RestoreStorage {
  /** Undefined for a source that cannot be read. */
  reader(sourceIndex: number): StorageReader | undefined;
  /** With the key that came with the sources. */
  readonly hash: PageHash;
  /** A read failed; its pages are asked for. */
  readFailed(error: unknown): void;
}

/** Where restored pages go. */
export interface RestoreSink extends RestoredPages {
  /** Whether pages can be taken now; `pump` is called when that changes. */
  readonly canTake: boolean;
  /** Called after each row of `take`. */
  taken(): void;
  /** Something went wrong that is not the storage's fault. */
  fail(error: unknown): void;
}

/** Of buffers that are replaced: each source that hangs may keep as many as are read at once. */
const maxLost = 64;

export class Restorer {
  /** Bytes read from storage. */
  storageBytes = 0;
  readonly #plan: RestorePlan;
  readonly #storage: RestoreStorage;
  readonly #sink: RestoreSink;
  readonly #free: Buffer[] = [];
  readonly #read: { readonly extent: Extent; readonly buffer: Buffer; readonly error: unknown }[] = [];
  #reading = 0;
  /** Buffers that a read which was given up has kept. */
  #lost = 0;
  #reads: { readonly bytes: number; readonly atOnce: number } = storageReads;
  #stopped = false;

  constructor(plan: RestorePlan, storage: RestoreStorage, sink: RestoreSink) {
    this.#plan = plan;
    this.#storage = storage;
    this.#sink = sink;
    const { buffers, bytes } = storageReads;
    const arena = allocateAligned(buffers * bytes);
    for (let i = 0; i < buffers; i++) this.#free.push(arena.subarray(i * bytes, (i + 1) * bytes));
  }

  /** Hands over what was read and starts reads, as far as there is room. */
  pump(): void {
    if (this.#stopped) return;
    this.#handOver();
    while (this.#reading < this.#reads.atOnce) {
      const buffer = this.#free.pop();
      if (buffer === undefined) {
        if (this.#lost === maxLost && this.#reading === 0 && this.#read.length === 0) this.#askForRest();
        return;
      }
      const extent = this.#plan.nextExtent(this.#reads.bytes);
      if (extent === undefined) {
        this.#free.push(buffer);
        return;
      }
      this.#start(extent, buffer);
    }
  }

  /** From now on the target's VM waits for what is read: less is read at a time. */
  expectFaults(): void {
    this.#reads = storageReads.waitedFor;
  }

  /** Starts no more reads; those that run come to nothing. */
  stop(): void {
    this.#stopped = true;
  }

  #start(extent: Extent, buffer: Buffer): void {
    this.#reading += 1;
    const into = buffer.subarray(0, extent.lengthBytes);
    const reader = this.#storage.reader(extent.sourceIndex);
    const finish = (error?: unknown): void => {
      this.#reading -= 1;
      if (error === undefined) this.storageBytes += extent.lengthBytes;
      else this.#storage.readFailed(error);
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

  /** So much of storage does not answer that nothing is read any more. */
  #askForRest(): void {
    for (;;) {
      if (!this.#sink.canTake) return;
      const extent = this.#plan.nextExtent(storageReads.bytes);
      if (extent === undefined) return;
      this.#plan.finish(extent, undefined, this.#storage.hash, this.#sink);
      this.#sink.taken();
    }
  }

  #handOver(): void {
    let any = false;
    while (this.#read.length > 0 && this.#sink.canTake) {
      const next = this.#read.shift();
      if (next === undefined) break;
      const content = next.error === undefined ? next.buffer : undefined;
      this.#plan.finish(next.extent, content, this.#storage.hash, this.#sink);
      // A read that was given up may still write into its buffer: another one takes its place.
      if (!isCoded(next.error, 'storage', 'no-answer')) this.#free.push(next.buffer);
      else if (this.#lost < maxLost) {
        this.#lost += 1;
        this.#free.push(allocateAligned(storageReads.bytes));
      }
      any = true;
    }
    if (any) this.#sink.taken();
  }
}
