/** What both engines are started with, and how they end. */
import type { EventSink } from './engine-event.ts';
import type { Limits } from './wait-watch.ts';

export interface EngineOptions {
  /** Name or uuid of the VM: the other engine must have been given the same, or none as here. */
  readonly vm?: string;
  readonly limits?: Limits;
  readonly onEvent: EventSink;
  /** End the migration where it can be ended: before the commit. */
  readonly interrupts?: Interrupts;
}

/** Where an engine hears that somebody wants it to end: SIGINT, SIGTERM, SIGHUP; perhaps several times. */
export interface Interrupts {
  /** `listener` is called for each of them from now on, and at once if one has come before. */
  subscribe(listener: () => void): void;
}

/** What the other engine is told of a signal. */
export function interruption(): Error & { readonly code: 'interrupted' } {
  return Object.assign(new Error('interrupted'), { code: 'interrupted' as const });
}

export type EngineOutcome =
  /** The target has everything; it runs, or waits to be continued. */
  | { readonly result: 'migrated' }
  /** The VM is at the source, and the target will never run. */
  | { readonly result: 'failed'; readonly error: Error }
  /** Interrupted before the commit: the VM is at the source. */
  | { readonly result: 'cancelled' }
  /** The target may have the VM, and nobody at this end can tell. */
  | { readonly result: 'in-doubt'; readonly error: Error };
