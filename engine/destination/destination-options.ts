/** What a destination engine is started with, and how it ends. */
import type { Interrupts } from '../core/interruption.ts';
import type { Limits } from '../core/wait-watch.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { StoragePlace } from '../storage/storage-place.ts';
import type { Liveness } from '../wire/hello.ts';
import type { PeerSecurity } from '../wire/peer-security.ts';

export interface DestinationOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Unix socket on which the target QEMU waits (`-incoming unix:PATH`, or migrate-incoming). */
  readonly incomingPath: string;
  readonly storage: readonly StoragePlace[];
  /** How the source engine is known. */
  readonly security: PeerSecurity;
  /** Name or uuid of the VM: the source must have been given the same, or none as here. */
  readonly vm?: string;
  readonly liveness?: Liveness;
  readonly limits?: Limits;
  readonly onEvent: EventSink;
  /** End the migration where it can be ended: before the commit. */
  readonly interrupts?: Interrupts;
}

export type DestinationOutcome =
  /** The target has everything; it runs, or waits to be continued. */
  | { readonly result: 'migrated' }
  /** The target will never run. */
  | { readonly result: 'failed'; readonly error: Error }
  /** Interrupted before the commit. */
  | { readonly result: 'cancelled' }
  /** The target has everything, and nobody here can tell whether it runs. */
  | { readonly result: 'in-doubt'; readonly error: Error };
