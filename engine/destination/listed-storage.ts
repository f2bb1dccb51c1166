/** The storage of one migration: what the page list's sources name. */
import { CodedError } from '../../foundation/coded-error.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { PageHash } from '../core/outside.ts';
import { PageHasher } from '../list/content-hash.ts';
import { nameOf, type PageSource } from '../list/page-list.ts';
import {
  disksWithoutName,
  openSource,
  storageKeyOf,
  type StoragePlace,
  takesDaemon,
} from '../storage/storage-place.ts';
import { limitedReader, type StorageReader } from '../storage/storage-reader.ts';
import type { Sources, Storage } from '../wire/messages.ts';
import type { RestoreStorage } from './restorer.ts';

/** The source engine names the sources once. */
type Listing =
  | { readonly is: 'not-named' }
  | {
      readonly is: 'named';
      readonly sources: Sources;
      /** With the key that came with the names. */
      readonly hash: PageHash;
      /** None until they are opened. */
      readers: OpenedSources['readers'];
      readFailed: boolean;
    }
  | { readonly is: 'closed' };

export class ListedStorage implements RestoreStorage {
  readonly #places: readonly StoragePlace[];
  readonly #limitMs: number;
  readonly #onEvent: EventSink;
  #listing: Listing = { is: 'not-named' };

  /** @param limitMs for one read */
  constructor(places: readonly StoragePlace[], limitMs: number, onEvent: EventSink) {
    this.#places = places;
    this.#limitMs = limitMs;
    this.#onEvent = onEvent;
  }

  /**
   * Opens the sources.
   *
   * @returns what to tell the source engine
   * @throws CodedError 'wire', 'malformed' if they were named before
   */
  async open(named: Sources): Promise<Storage> {
    if (this.#listing.is !== 'not-named')
      throw new CodedError('wire', 'malformed', 'the source names sources twice');
    const hash = new PageHasher(Buffer.from(named.hashKey, 'hex'));
    const listing: Listing = { is: 'named', sources: named, hash, readers: [], readFailed: false };
    this.#listing = listing;
    const { readers, answer } = await openSources(named.sources, this.#places, this.#limitMs, this.#onEvent);
    listing.readers = readers;
    // It may have been closed meanwhile.
    if (this.#listing !== listing) closeAll(listing.readers);
    return answer;
  }

  /** What the source engine has named; undefined before. */
  get sources(): Sources | undefined {
    return this.#listing.is === 'named' ? this.#listing.sources : undefined;
  }

  /** Undefined for a source that is not there or cannot be read. */
  reader(sourceIndex: number): StorageReader | undefined {
    return this.#listing.is === 'named' ? this.#listing.readers[sourceIndex] : undefined;
  }

  get hash(): PageHash {
    // A plan without sources is refused.
    if (this.#listing.is !== 'named') throw new Error('no key for the hashes of the plan');
    return this.#listing.hash;
  }

  /** The first is told. */
  readFailed(error: unknown): void {
    if (this.#listing.is !== 'named' || this.#listing.readFailed) return;
    this.#listing.readFailed = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.#onEvent({ event: 'read-failed', reason });
  }

  close(): void {
    if (this.#listing.is === 'named') closeAll(this.#listing.readers);
    this.#listing = { is: 'closed' };
  }
}

function closeAll(readers: OpenedSources['readers']): void {
  for (const reader of new Set(readers)) reader?.close().catch(() => undefined);
}

function ambiguous(disks: readonly string[]): CodedError<'storage'> {
  const shown = disks.slice(0, maxShownDisks).map((disk) => `"${disk}"`);
  const more = disks.length > maxShownDisks ? ` and ${disks.length - maxShownDisks} more` : '';
  const reason = `the list has the disks ${shown.join(', ')}${more}, and no --storage names them: give each as --storage NAME=PLACE`;
  return new CodedError('storage', 'invalid-place', reason);
}

interface OpenedSources {
  /** By source index; undefined where it cannot be read. */
  readonly readers: readonly (StorageReader | undefined)[];
  /** What to tell the source engine. */
  readonly answer: Storage;
}

/** One that hangs is of no use, and holds no other up; what comes of it later is closed. @throws CodedError 'storage', 'no-answer' */
async function withinLimit(opening: Promise<StorageReader>, limitMs: number): Promise<StorageReader> {
  const { promise: limit, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new CodedError('storage', 'no-answer', `it could not be opened within ${limitMs / 1000} s`));
    opening
      .then(
        (late) => late.close(),
        () => undefined,
      )
      .catch(() => undefined);
  }, limitMs);
  try {
    return await Promise.race([opening, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Storage daemons of one migration: each is a process, and the guest says how many files its list has. */
const maxDaemons = 16;
/** Sources opened at once. */
const openedAtOnce = 8;
/** A disk's name is at most as long as its serial number, 20 bytes of virtio's or some more. */
const maxShownDisks = 4;
/** A reason crosses the wire for each source. */
const maxReasonLength = 300;

/**
 * Opens sources, those that lie at the same place once. A source that cannot be opened is of no use, and no error: its pages
 * come from the source engine.
 *
 * @param limitMs for one read, and for opening one
 */
export async function openSources(
  sources: readonly PageSource[],
  places: readonly StoragePlace[],
  limitMs: number,
  onEvent: EventSink,
): Promise<OpenedSources> {
  const opened = new Map<string, Promise<StorageReader>>();
  let daemons = 0;
  const unnamed = disksWithoutName(sources, places);
  const openOnce = (source: PageSource): Promise<StorageReader> => {
    if (source.kind === 'disk' && unnamed.length > 1 && unnamed.includes(source.disk))
      return Promise.reject(ambiguous(unnamed));
    const key = storageKeyOf(source, places);
    const before = key === undefined ? undefined : opened.get(key);
    if (before !== undefined) return before;
    if (takesDaemon(source, places) && ++daemons > maxDaemons) {
      const reason = `a list gets ${maxDaemons} storage daemons at most; mount the file system and give its folder`;
      return Promise.reject(new CodedError('storage', 'too-many', reason));
    }
    const reader = withinLimit(openSource(source, places), limitMs).then((opened) =>
      limitedReader(opened, limitMs),
    );
    if (key !== undefined) opened.set(key, reader);
    return reader;
  };
  const readers: (StorageReader | undefined)[] = [];
  const storage: Storage['storage'] = [];
  for (let start = 0; start < sources.length; start += openedAtOnce) {
    const results = sources.slice(start, start + openedAtOnce).map(async (source) => {
      const name = nameOf(source);
      try {
        const reader = await openOnce(source);
        onEvent({ event: 'storage', source: name, size_bytes: reader.sizeBytes });
        return { reader, found: { usable: true, sizeBytes: reader.sizeBytes } as const };
      } catch (error) {
        const reason = (error instanceof Error ? error.message : String(error)).slice(0, maxReasonLength);
        onEvent({ event: 'storage-unusable', source: name, reason });
        return { reader: undefined, found: { usable: false, reason } as const };
      }
    });
    for (const { reader, found } of await Promise.all(results)) {
      readers.push(reader);
      storage.push(found);
    }
  }
  return { readers, answer: { storage } };
}
