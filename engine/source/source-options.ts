/** What a source engine is started with, and how it ends. */
import type { PageListAnswer } from '../pages/agent-client.ts';
import type { EventSink } from '../restore/engine-event.ts';
import type { Strategy } from '../restore/schedule.ts';
import type { Liveness } from '../wire/hello.ts';
import type { GuestRamPlace } from './guest-ram.ts';

export interface SourceOptions {
  /** Unix socket to which QEMU is told to migrate. */
  readonly listenPath: string;
  readonly destination: { readonly host: string; readonly port: number };
  /** Name of the VM, compared with the destination's. */
  readonly vm?: string;
  readonly strategy: Strategy;
  readonly compression: 'none' | 'zstd';
  /** Where guest memory is; without it nothing is restored from storage. */
  readonly ram?: GuestRamPlace;
  /** Asks for the page list; without it nothing is restored from storage. */
  readonly requestList?: (signal: AbortSignal) => Promise<PageListAnswer>;
  /**
   * When to ask: as soon as QEMU begins to send, or before it can connect, so that storage is read from the first moment
   * with a list that is a little older. Default 'migrate'.
   */
  readonly listAt?: 'start' | 'migrate';
  readonly liveness?: Liveness;
  readonly onEvent: EventSink;
  /** Ends the migration: the source VM goes on. */
  readonly signal?: AbortSignal;
}

export type SourceOutcome =
  | { readonly result: 'migrated' }
  /** The VM runs on at the source. */
  | { readonly result: 'failed'; readonly error: Error }
  /** The target may run or not; QEMU was kept waiting, its VM stopped, until `signal` said to let go. */
  | { readonly result: 'in-doubt'; readonly error: Error };
