/** Opens what the page list names. */
import { CodedError } from '../../foundation/coded-error.ts';
import { nameOf, type PageSource } from '../list/page-list.ts';
import type { EventSink } from '../core/engine-event.ts';
import { openSource, storageKeyOf, type StoragePlace, takesDaemon } from '../storage/storage-place.ts';
import type { StorageReader } from '../storage/storage-reader.ts';
import type { Storage } from '../wire/messages.ts';

export interface OpenedSources {
  /** By source index; undefined where it cannot be read. */
  readonly readers: readonly (StorageReader | undefined)[];
  /** What to tell the source engine. */
  readonly answer: Storage;
}

/** Storage daemons of one migration: each is a process, and the guest says how many files its list has. */
const maxDaemons = 16;
/** Sources opened at once. */
const openedAtOnce = 8;
/** A reason crosses the wire for each source. */
const maxReasonLength = 300;

/**
 * Opens sources, those that lie at the same place once. A source that cannot be opened is of no use, and no error: its pages
 * come from the source engine.
 */
export async function openSources(
  sources: readonly PageSource[],
  places: readonly StoragePlace[],
  onEvent: EventSink,
): Promise<OpenedSources> {
  const opened = new Map<string, Promise<StorageReader>>();
  let daemons = 0;
  const openOnce = (source: PageSource): Promise<StorageReader> => {
    const key = storageKeyOf(source, places);
    const before = key === undefined ? undefined : opened.get(key);
    if (before !== undefined) return before;
    if (takesDaemon(source, places) && ++daemons > maxDaemons) {
      const reason = `a list gets ${maxDaemons} storage daemons at most; mount the file system and give its folder`;
      return Promise.reject(new CodedError('storage', 'too-many', reason));
    }
    const reader = openSource(source, places);
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
