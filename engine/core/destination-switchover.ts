/**
 * The switchover as the destination engine knows it: one state, events in, actions out (docs/engine.md, Switchover, has the
 * picture). Pure, so that the engine and the model test run the same code.
 */
import { interruption } from './engine-options.ts';

export type DestinationState =
  /** Waiting for the source engine, and for QEMU to begin. */
  | { readonly is: 'preparing' }
  /** The stream goes to the target, up to the end of RAM; all device state stays here. */
  | { readonly is: 'moving' }
  /** The source has committed: the target gets everything, and starts when it has read it. */
  | { readonly is: 'committing'; readonly link: 'up' | 'down' }
  /** The target has the VM; the source is being told. */
  | { readonly is: 'closing' }
  /** The target has everything and does not say whether it has started. */
  | { readonly is: 'in-doubt'; readonly why: Error; readonly link: 'up' | 'down' }
  | { readonly is: 'over'; readonly end: DestinationEnd };

export type DestinationEnd =
  | { readonly at: 'destination' }
  /** The target will never run. */
  | { readonly at: 'source'; readonly why: Error }
  /** Ended by a signal before the commit. */
  | { readonly at: 'source-cancelled' }
  | { readonly at: 'in-doubt'; readonly why: Error };

export type DestinationEvent =
  | { readonly type: 'stream-begins' }
  | { readonly type: 'commit' }
  /** The target says that it has everything; it runs, or waits to be continued if it was started with -S. */
  | { readonly type: 'target-started' }
  /** The target says that it failed, or ended before it had read everything: it will never run. */
  | { readonly type: 'target-failed'; readonly why: Error }
  /** The target ended when it had everything, without a word: it may have run. */
  | { readonly type: 'target-silent-end'; readonly why: Error }
  | { readonly type: 'link-closed'; readonly why: Error }
  /** An error of this engine; `undelivered`: bytes of the stream have not left it, so that the target cannot have all of it. */
  | { readonly type: 'failed'; readonly why: Error; readonly undelivered: boolean }
  /** The source gave up. */
  | { readonly type: 'source-aborted'; readonly why: Error; readonly undelivered: boolean }
  | { readonly type: 'interrupted' }
  /** What is waited for has not come within its limit. */
  | { readonly type: 'limit'; readonly why: Error; readonly undelivered: boolean };

export type DestinationAction =
  /** Deliver what is held. */
  | { readonly do: 'release' }
  /** Tell the source that the target has everything. */
  | { readonly do: 'say-started' }
  /** Tell the source that the target will never run, and end the connection. */
  | { readonly do: 'abort'; readonly why: Error }
  /** Tell the source that nobody here can tell either, and end the connection. */
  | { readonly do: 'abort-in-doubt'; readonly why: Error }
  /** Break the target's connection off: what it lacks it will never get. */
  | { readonly do: 'drop-target' }
  | { readonly do: 'say-in-doubt'; readonly why: Error }
  | { readonly do: 'refuse-signal' };

export interface DestinationStep {
  readonly state: DestinationState;
  readonly actions: readonly DestinationAction[];
}

export const destinationStart: DestinationState = { is: 'preparing' };

export function stepDestination(state: DestinationState, event: DestinationEvent): DestinationStep {
  switch (state.is) {
    case 'preparing':
    case 'moving':
      return beforeCommit(state, event);
    case 'committing':
      return committing(state, event);
    case 'closing':
      return closing(state, event);
    case 'in-doubt':
      return inDoubt(state, event);
    case 'over':
      return stay(state);
  }
}

function beforeCommit(state: DestinationState, event: DestinationEvent): DestinationStep {
  switch (event.type) {
    case 'stream-begins':
      return { state: { is: 'moving' }, actions: [] };
    case 'commit':
      if (state.is !== 'moving') return stay(state);
      return { state: { is: 'committing', link: 'up' }, actions: [{ do: 'release' }] };
    case 'target-started':
      return neverRuns(new Error('the target says that it has everything, which it has not'));
    case 'target-failed':
    case 'target-silent-end':
    case 'failed':
    case 'limit':
      return neverRuns(event.why);
    case 'link-closed':
    case 'source-aborted':
      return { ...neverRuns(event.why), actions: [{ do: 'drop-target' }] };
    case 'interrupted':
      return {
        state: { is: 'over', end: { at: 'source-cancelled' } },
        actions: [{ do: 'drop-target' }, { do: 'abort', why: interruption() }],
      };
  }
}

function committing(
  state: Extract<DestinationState, { is: 'committing' }>,
  event: DestinationEvent,
): DestinationStep {
  switch (event.type) {
    case 'stream-begins':
    case 'commit':
      return stay(state);
    case 'target-started':
      return started(state.link);
    case 'target-failed':
      return neverRuns(event.why);
    case 'target-silent-end':
      return leaveDoubt(event.why);
    case 'link-closed':
      // The source keeps its VM stopped and counts on the target, which has everything or will have it.
      return { state: { is: 'committing', link: 'down' }, actions: [] };
    case 'source-aborted':
      if (event.undelivered) return neverRuns(event.why);
      return { state: { is: 'committing', link: 'down' }, actions: [] };
    case 'failed':
      return event.undelivered ? neverRuns(event.why) : leaveDoubt(event.why);
    case 'limit':
      if (event.undelivered) return neverRuns(event.why);
      return {
        state: { is: 'in-doubt', why: event.why, link: state.link },
        actions: [{ do: 'say-in-doubt', why: event.why }],
      };
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

function closing(state: DestinationState, event: DestinationEvent): DestinationStep {
  switch (event.type) {
    case 'link-closed':
    case 'source-aborted':
    case 'limit':
    case 'interrupted':
      return over({ at: 'destination' });
    case 'stream-begins':
    case 'commit':
    case 'target-started':
    case 'target-failed':
    case 'target-silent-end':
    case 'failed':
      return stay(state);
  }
}

function inDoubt(
  state: Extract<DestinationState, { is: 'in-doubt' }>,
  event: DestinationEvent,
): DestinationStep {
  switch (event.type) {
    case 'stream-begins':
    case 'commit':
      return stay(state);
    case 'target-started':
      return started(state.link);
    case 'target-failed':
      return neverRuns(event.why);
    case 'link-closed':
    case 'source-aborted':
      return { state: { ...state, link: 'down' }, actions: [] };
    case 'limit':
      return { state, actions: [{ do: 'say-in-doubt', why: event.why }] };
    case 'target-silent-end':
    case 'failed':
      return leaveDoubt(event.why);
    case 'interrupted':
      return leaveDoubt(state.why);
  }
}

function started(link: 'up' | 'down'): DestinationStep {
  if (link === 'down') return over({ at: 'destination' });
  return { state: { is: 'closing' }, actions: [{ do: 'say-started' }] };
}

/** The target is dropped first: what the source is told must be true when it is told. */
function neverRuns(why: Error): DestinationStep {
  return {
    state: { is: 'over', end: { at: 'source', why } },
    actions: [{ do: 'drop-target' }, { do: 'abort', why }],
  };
}

function leaveDoubt(why: Error): DestinationStep {
  return {
    state: { is: 'over', end: { at: 'in-doubt', why } },
    actions: [
      { do: 'say-in-doubt', why },
      { do: 'abort-in-doubt', why },
    ],
  };
}

function over(end: DestinationEnd): DestinationStep {
  return { state: { is: 'over', end }, actions: [] };
}

function stay(state: DestinationState): DestinationStep {
  return { state, actions: [] };
}
