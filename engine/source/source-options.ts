/** What a source engine is started with, and how it ends. */
import type { PageListAnswer } from '../list/agent-client.ts';
import type { Interrupts } from '../core/interruption.ts';
import type { Limits } from '../core/wait-watch.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { Strategy } from '../core/schedule.ts';
import type { Liveness } from '../wire/hello.ts';
import type { PeerSecurity } from '../wire/peer-security.ts';
import type { GuestRamSource } from '../core/outside.ts';

export interface SourceOptions {
  /** Unix socket to which QEMU is told to migrate. */
  readonly listenPath: string;
  readonly destination: { readonly host: string; readonly port: number };
  /** How the destination engine is known. */
  readonly security: PeerSecurity;
  /** Name or uuid of the VM: the destination must have been given the same, or none as here. */
  readonly vm?: string;
  readonly strategy: Strategy;
  readonly compression: 'none' | 'zstd';
  /** Guest memory, which is closed at the end; without it nothing is restored from storage. */
  readonly ram?: GuestRamSource;
  /** Asks for the page list; without it nothing is restored from storage. */
  readonly requestList?: (signal: AbortSignal) => Promise<PageListAnswer>;
  /**
   * When to ask: as soon as QEMU begins to send, or before it can connect, so that storage is read from the first moment
   * with a list that is a little older. Default 'migrate'.
   */
  readonly listAt?: 'start' | 'migrate';
  readonly liveness?: Liveness;
  readonly limits?: Limits;
  readonly onEvent: EventSink;
  /** End the migration where it can be ended: before the commit. */
  readonly interrupts?: Interrupts;
}

export type SourceOutcome =
  /** The target has the VM. */
  | { readonly result: 'migrated' }
  /** The VM is at the source. */
  | { readonly result: 'failed'; readonly error: Error }
  /** Interrupted before the commit: the VM is at the source. */
  | { readonly result: 'cancelled' }
  /** The target may run or not. QEMU has ended its migration by itself, or was told to. */
  | { readonly result: 'in-doubt'; readonly error: Error };
