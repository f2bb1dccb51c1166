/** What both engines are started with, and how they end. */
import { isCoded } from '../../foundation/coded-error.ts';
import type { EngineCounters, EventSink } from './engine-event.ts';
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
  /** `listener` is called for each of them from now on; one that comes before anybody listens ends the program. */
  subscribe(listener: () => void): void;
}

/** What the other engine is told of a signal. */
export function interruption(): Error & { readonly code: 'interrupted' } {
  return Object.assign(new Error('interrupted'), { code: 'interrupted' as const });
}

/** Where the VM is when an engine ends. */
export type EngineEnd =
  | { readonly at: 'destination' }
  /** The target will never run. */
  | { readonly at: 'source'; readonly why: Error }
  /** Ended by a signal before the commit. */
  | { readonly at: 'source-cancelled' }
  /** The target has the VM without some of its pages, which do not come any more: it has to be recovered. */
  | { readonly at: 'destination-incomplete'; readonly why: Error }
  /** Nobody at this end can tell. */
  | { readonly at: 'in-doubt'; readonly why: Error };

export type EngineOutcome =
  | { readonly result: 'migrated' | 'cancelled' }
  | { readonly result: 'failed' | 'in-doubt' | 'incomplete'; readonly error: Error };

/**
 * An engine's last words, and its outcome. That it is in doubt was said before.
 *
 * @param advice for a VM at the source that does not run on by itself
 */
export function conclude(
  end: EngineEnd,
  counters: EngineCounters,
  say: EventSink,
  advice?: string,
): EngineOutcome {
  const withAdvice = advice === undefined ? {} : { advice };
  switch (end.at) {
    case 'destination':
      say({ event: 'done', ...counters });
      return { result: 'migrated' };
    case 'source': {
      const error: Error & { readonly code?: string } = end.why;
      const peer = isCoded(error, 'wire') && error.code === 'peer-aborted';
      say({ event: 'progress', ...counters });
      say({ event: 'failed', code: error.code ?? 'failed', reason: error.message, peer, ...withAdvice });
      return { result: 'failed', error };
    }
    case 'source-cancelled':
      say({ event: 'cancelled', ...withAdvice });
      return { result: 'cancelled' };
    case 'destination-incomplete':
      return { result: 'incomplete', error: end.why };
    case 'in-doubt':
      return { result: 'in-doubt', error: end.why };
  }
}
