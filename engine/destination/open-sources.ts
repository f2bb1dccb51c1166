/** Opens what the page list names. */
import type { PageSource } from '../pages/page-list.ts';
import type { EventSink } from '../restore/engine-event.ts';
import { nameOf, openSource, type StoragePlace } from '../restore/storage-place.ts';
import type { StorageReader } from '../restore/storage-reader.ts';
import type { Storage } from '../wire/messages.ts';

export interface OpenedSources {
  /** By source index; undefined where it cannot be read. */
  readonly readers: readonly (StorageReader | undefined)[];
  /** What to tell the source engine. */
  readonly answer: Storage;
}

/** A source that cannot be opened is of no use, and no error: its pages come from the source engine. */
export async function openSources(
  sources: readonly PageSource[],
  places: readonly StoragePlace[],
  onEvent: EventSink,
): Promise<OpenedSources> {
  const opened = await Promise.all(
    sources.map(async (source) => {
      const name = nameOf(source);
      try {
        const reader = await openSource(source, places);
        onEvent({ event: 'storage', source: name, size_bytes: reader.sizeBytes });
        return { reader, found: { usable: true, sizeBytes: reader.sizeBytes } as const };
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        onEvent({ event: 'storage-unusable', source: name, reason });
        return { reader: undefined, found: { usable: false, reason } as const };
      }
    }),
  );
  return {
    readers: opened.map(({ reader }) => reader),
    answer: { storage: opened.map(({ found }) => found) },
  };
}
