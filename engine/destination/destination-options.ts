/** What a destination engine is started with, and how it ends. */
import type { EventSink } from '../restore/engine-event.ts';
import type { StoragePlace } from '../restore/storage-place.ts';
import type { Liveness } from '../wire/hello.ts';

export interface DestinationOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Unix socket on which the target QEMU waits (`-incoming unix:PATH`, or migrate-incoming). */
  readonly incomingPath: string;
  readonly storage: readonly StoragePlace[];
  readonly vm?: string;
  readonly liveness?: Liveness;
  readonly onEvent: EventSink;
  /** Ends the migration: the target fails, the source VM goes on. */
  readonly signal?: AbortSignal;
}

export type DestinationOutcome =
  | { readonly result: 'migrated' }
  /** The target did not get the whole stream. */
  | { readonly result: 'failed'; readonly error: Error };
