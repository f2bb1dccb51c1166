/**
 * Storage behind a reader that remembers where things lie: qemu-storage-daemon keeps a qcow2 image's tables as they were when it
 * opened the image, so that clusters that the source's QEMU allocates later read as zeros, or as the backing file. It is opened
 * anew when the file has changed, or may have where nobody can tell.
 */
import type { StorageReader } from './storage-reader.ts';

/** Looking for changes and opening anew take no more than this share of the time, however often the file changes. */
const maxOpeningShare = 0.05;

interface ReopenedStorage {
  open(): Promise<StorageReader>;
  /** Changes when the storage has; undefined where that cannot be seen. */
  version(): Promise<string | undefined>;
}

interface Opened {
  readonly reader: StorageReader;
  /** The storage's when it was opened. */
  readonly version: string | undefined;
  reads: number;
}

/** @throws as `storage` does; once it is open, a reader that cannot be opened anew is kept */
export async function reopeningReader(storage: ReopenedStorage): Promise<StorageReader> {
  return new ReopeningReader(storage, await open(storage));
}

async function open(storage: ReopenedStorage): Promise<Opened> {
  // Asked first: what changes meanwhile may or may not be seen by the reader.
  const version = await storage.version();
  return { version, reader: await storage.open(), reads: 0 };
}

class ReopeningReader implements StorageReader {
  readonly sizeBytes: number;
  readonly #storage: ReopenedStorage;
  readonly #sinceMs = performance.now();
  #openingMs = 0;
  #opening: Promise<void> | undefined;
  #current: Opened;

  constructor(storage: ReopenedStorage, opened: Opened) {
    this.#storage = storage;
    this.#current = opened;
    this.sizeBytes = opened.reader.sizeBytes;
  }

  async read(into: Buffer, offsetBytes: number): Promise<void> {
    this.#opening ??= this.#openIfChanged().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
    const used = this.#current;
    used.reads += 1;
    try {
      await used.reader.read(into, offsetBytes);
    } finally {
      used.reads -= 1;
      if (used !== this.#current && used.reads === 0) await used.reader.close();
    }
  }

  async #openIfChanged(): Promise<void> {
    const startedMs = performance.now();
    if (this.#openingMs > maxOpeningShare * (startedMs - this.#sinceMs)) return;
    const before = this.#current;
    try {
      const version = await this.#storage.version();
      if (version !== undefined && version === before.version) return;
      this.#current = await open(this.#storage);
    } catch {
      return;
    } finally {
      this.#openingMs += performance.now() - startedMs;
    }
    if (before.reads === 0) await before.reader.close();
  }

  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#current.reader.close();
  }
}
