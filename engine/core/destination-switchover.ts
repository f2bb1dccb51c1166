/**
 * The switchover as the destination engine knows it: one state, events in, actions out (docs/engine-design.md, Switchover, has the
 * picture). Pure, so that the engine and the model test run the same code.
 */
import { type EngineEnd, interruption } from './engine-options.ts';

/** What there is of a migration, which grows with it. The machine hands it on without a look. */
interface DestinationParts {
  /** Since the source engine has greeted. */
  readonly link: unknown;
  /** Since QEMU has begun to send. */
  readonly serving: unknown;
}

/** Each state holds what there is in it. */
export type DestinationState<Parts extends DestinationParts> =
  /** Waiting for the source engine. */
  | { readonly is: 'greeting' }
  /** Waiting for QEMU to begin. */
  | { readonly is: 'preparing'; readonly parts: Parts['link'] }
  /**
   * The stream goes to the target, up to the end of RAM or to the package of a migration that becomes post-copy; all device
   * state stays here.
   */
  | { readonly is: 'moving'; readonly parts: Parts['serving']; readonly packaged: boolean }
  /** The source has committed: the target gets everything, and starts when it has read it. */
  | { readonly is: 'committing'; readonly parts: Parts['serving']; readonly link: 'up' | 'down' }
  /** The source has committed to a package: the target gets it, and can run when it has loaded it. */
  | { readonly is: 'switching'; readonly parts: Parts['serving']; readonly link: 'up' | 'down' }
  /** The VM is here; its missing pages follow, without the link from storage alone. */
  | { readonly is: 'draining'; readonly parts: Parts['serving']; readonly link: 'up' | 'down' }
  /** The target has the VM; the source is being told. */
  | { readonly is: 'closing'; readonly parts: Parts['serving'] }
  /** The target has everything and does not say whether it has started. */
  | {
      readonly is: 'in-doubt';
      readonly parts: Parts['serving'];
      readonly why: Error;
      readonly link: 'up' | 'down';
      /** As it is while `switching`: the target gets only the package, at first. */
      readonly early: boolean;
    }
  | { readonly is: 'over'; readonly end: EngineEnd };

export type DestinationEvent<Parts extends DestinationParts> =
  | { readonly type: 'greeted'; readonly parts: Parts['link'] }
  | { readonly type: 'stream-begins'; readonly parts: Parts['serving'] }
  /** The package of a migration that becomes post-copy begins. */
  | { readonly type: 'package-begins' }
  | { readonly type: 'commit' }
  /** The target says that it has loaded the package. */
  | { readonly type: 'target-moved' }
  /** The target says that it has everything; it runs, or waits to be continued if it was started with -S. */
  | { readonly type: 'target-started' }
  /** The target says that it failed, or ended before it had read everything: it will never run. */
  | { readonly type: 'target-failed'; readonly why: Error }
  /** The target ended when it had everything, without a word: it may have run. */
  | { readonly type: 'target-silent-end'; readonly why: Error }
  /**
   * `vouched`: this engine has ended it, as it heard nothing, and told the source that the target will never run.
   * `needsNoSource`: the VM is here, and storage can give all that it misses.
   */
  | {
      readonly type: 'link-closed';
      readonly why: Error;
      readonly vouched: boolean;
      readonly needsNoSource: boolean;
    }
  /** An error of this engine; `undelivered`: bytes of the stream have not left it, so that the target cannot have all of it. */
  | { readonly type: 'failed'; readonly why: Error; readonly undelivered: boolean }
  /** The source gave up. `needsNoSource` as above. */
  | {
      readonly type: 'source-aborted';
      readonly why: Error;
      readonly undelivered: boolean;
      readonly needsNoSource: boolean;
    }
  | { readonly type: 'interrupted' }
  /** What is waited for has not come within its limit. */
  | { readonly type: 'limit'; readonly why: Error; readonly undelivered: boolean };

export type DestinationAction =
  /** Deliver what is held. */
  | { readonly do: 'release' }
  /** Tell the source that the target has the VM. */
  | { readonly do: 'say-moved' }
  /** Bring the rest from storage, and end the stream in the place of the source. */
  | { readonly do: 'go-on-alone'; readonly why: Error }
  /** Say that the VM is here without some of its pages, and what to do. */
  | { readonly do: 'say-incomplete'; readonly why: Error }
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

interface DestinationStep<Parts extends DestinationParts> {
  readonly state: DestinationState<Parts>;
  readonly actions: readonly DestinationAction[];
}

export const destinationStart = { is: 'greeting' } as const;

export function stepDestination<Parts extends DestinationParts>(
  state: DestinationState<Parts>,
  event: DestinationEvent<Parts>,
): DestinationStep<Parts> {
  switch (state.is) {
    case 'greeting':
    case 'preparing':
    case 'moving':
      return beforeCommit(state, event);
    case 'committing':
    case 'switching':
      return committed(state, event);
    case 'draining':
      return draining(state, event);
    case 'closing':
      return closing(state, event);
    case 'in-doubt':
      return inDoubt(state, event);
    case 'over':
      return stay<Parts>(state);
  }
}

/**
 * Whether the target will never run if this engine gives up the connection to the source now, which is then told so. It lets its
 * VM run on by that word: it has to stay true.
 *
 * @param undelivered as of the event `failed`
 */
export function targetNeverRuns<Parts extends DestinationParts>(
  state: DestinationState<Parts>,
  undelivered: boolean,
): boolean {
  switch (state.is) {
    case 'greeting':
    case 'preparing':
    case 'moving':
      return true;
    case 'committing':
    case 'switching':
      return undelivered;
    case 'draining':
    case 'closing':
    case 'in-doubt':
      return false;
    case 'over':
      return state.end.at === 'source' || state.end.at === 'source-cancelled';
  }
}

function beforeCommit<Parts extends DestinationParts>(
  state: Extract<DestinationState<Parts>, { is: 'greeting' | 'preparing' | 'moving' }>,
  event: DestinationEvent<Parts>,
): DestinationStep<Parts> {
  switch (event.type) {
    case 'greeted':
      if (state.is !== 'greeting') return stay<Parts>(state);
      return { state: { is: 'preparing', parts: event.parts }, actions: [] };
    case 'stream-begins':
      if (state.is !== 'preparing') return stay<Parts>(state);
      return { state: { is: 'moving', parts: event.parts, packaged: false }, actions: [] };
    case 'package-begins':
      if (state.is !== 'moving') return stay<Parts>(state);
      return { state: { ...state, packaged: true }, actions: [] };
    case 'commit': {
      if (state.is !== 'moving') return stay<Parts>(state);
      const { parts } = state;
      return {
        state: state.packaged
          ? { is: 'switching', parts, link: 'up' }
          : { is: 'committing', parts, link: 'up' },
        actions: [{ do: 'release' }],
      };
    }
    case 'target-moved':
    case 'target-started':
      return neverRuns(new Error('the target says that it has everything, which it has not'));
    case 'target-failed':
    case 'target-silent-end':
    case 'failed':
    case 'limit':
      return neverRuns(event.why);
    case 'link-closed':
    case 'source-aborted':
      return over({ at: 'source', why: event.why }, [{ do: 'drop-target' }]);
    case 'interrupted':
      return over({ at: 'source-cancelled' }, [{ do: 'drop-target' }, { do: 'abort', why: interruption() }]);
  }
}

/** Until the target has the VM: when it runs, and in an early resume when it has loaded the package (`switching`). */
function committed<Parts extends DestinationParts>(
  state: Extract<DestinationState<Parts>, { is: 'committing' | 'switching' }>,
  event: DestinationEvent<Parts>,
): DestinationStep<Parts> {
  switch (event.type) {
    case 'greeted':
    case 'stream-begins':
    case 'package-begins':
    case 'commit':
      return stay<Parts>(state);
    case 'target-moved':
      return state.is === 'switching' ? moved<Parts>(state) : stay<Parts>(state);
    case 'target-started':
      return started<Parts>(state);
    case 'target-failed':
      return neverRuns(event.why);
    case 'target-silent-end':
      return leaveDoubt(event.why);
    case 'link-closed':
      if (event.vouched) return neverRuns(event.why);
      // The source keeps its VM stopped and counts on the target, which has everything or will have it.
      return stay<Parts>({ ...state, link: 'down' });
    case 'source-aborted':
      return event.undelivered ? neverRuns(event.why) : stay<Parts>({ ...state, link: 'down' });
    case 'failed':
      return event.undelivered ? neverRuns(event.why) : leaveDoubt(event.why);
    case 'limit':
      if (event.undelivered) return neverRuns(event.why);
      return {
        state: { ...state, is: 'in-doubt', why: event.why, early: state.is === 'switching' },
        actions: [{ do: 'say-in-doubt', why: event.why }],
      };
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

/**
 * Where the source is gone and storage alone can give the rest, it does; else the target waits for a recovery, its VM standing
 * wherever it touches what is missing.
 */
function draining<Parts extends DestinationParts>(
  state: Extract<DestinationState<Parts>, { is: 'draining' }>,
  event: DestinationEvent<Parts>,
): DestinationStep<Parts> {
  switch (event.type) {
    case 'greeted':
    case 'stream-begins':
    case 'package-begins':
    case 'commit':
    case 'target-moved':
      return stay<Parts>(state);
    case 'target-started':
      return started<Parts>(state);
    case 'link-closed':
    case 'source-aborted':
      if (state.link === 'down') return stay<Parts>(state);
      if (!event.needsNoSource) return incomplete(event.why, [{ do: 'drop-target' }]);
      return { state: { ...state, link: 'down' }, actions: [{ do: 'go-on-alone', why: event.why }] };
    case 'target-failed':
    case 'target-silent-end':
    case 'failed':
    case 'limit':
      return incomplete(event.why, [{ do: 'drop-target' }, { do: 'abort-in-doubt', why: event.why }]);
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

function closing<Parts extends DestinationParts>(
  state: Extract<DestinationState<Parts>, { is: 'closing' }>,
  event: DestinationEvent<Parts>,
): DestinationStep<Parts> {
  switch (event.type) {
    case 'link-closed':
    case 'source-aborted':
    case 'limit':
    case 'interrupted':
      return over({ at: 'destination' });
    case 'greeted':
    case 'stream-begins':
    case 'package-begins':
    case 'commit':
    case 'target-moved':
    case 'target-started':
    case 'target-failed':
    case 'target-silent-end':
    case 'failed':
      return stay<Parts>(state);
  }
}

function inDoubt<Parts extends DestinationParts>(
  state: Extract<DestinationState<Parts>, { is: 'in-doubt' }>,
  event: DestinationEvent<Parts>,
): DestinationStep<Parts> {
  switch (event.type) {
    case 'greeted':
    case 'stream-begins':
    case 'package-begins':
    case 'commit':
      return stay<Parts>(state);
    case 'target-moved':
      return state.early ? moved<Parts>(state) : stay<Parts>(state);
    case 'target-started':
      return started<Parts>(state);
    case 'target-failed':
      return neverRuns(event.why);
    case 'link-closed':
    case 'source-aborted':
      return stay<Parts>({ ...state, link: 'down' });
    case 'limit':
      return { state, actions: [{ do: 'say-in-doubt', why: event.why }] };
    case 'target-silent-end':
    case 'failed':
      return leaveDoubt(event.why);
    case 'interrupted':
      return leaveDoubt(state.why);
  }
}

function started<Parts extends DestinationParts>({
  parts,
  link,
}: Pick<Extract<DestinationState<Parts>, { is: 'committing' }>, 'parts' | 'link'>): DestinationStep<Parts> {
  if (link === 'down') return over({ at: 'destination' });
  return { state: { is: 'closing', parts }, actions: [{ do: 'say-started' }] };
}

/** The VM is here. Without the source, what it still owes does not come. */
function moved<Parts extends DestinationParts>({
  parts,
  link,
}: Extract<DestinationState<Parts>, { is: 'switching' | 'in-doubt' }>): DestinationStep<Parts> {
  if (link === 'down') {
    const why = new Error('the source was gone when the target had loaded the package');
    return incomplete(why, [{ do: 'drop-target' }]);
  }
  return { state: { is: 'draining', parts, link: 'up' }, actions: [{ do: 'say-moved' }] };
}

function incomplete(why: Error, before: readonly DestinationAction[]): DestinationStep<never> {
  return over({ at: 'destination-incomplete', why }, [...before, { do: 'say-incomplete', why }]);
}

/** The target is dropped first: what the source is told must be true when it is told. */
function neverRuns(why: Error): DestinationStep<never> {
  return over({ at: 'source', why }, [{ do: 'drop-target' }, { do: 'abort', why }]);
}

function leaveDoubt(why: Error): DestinationStep<never> {
  return over({ at: 'in-doubt', why }, [
    { do: 'say-in-doubt', why },
    { do: 'abort-in-doubt', why },
  ]);
}

function over(end: EngineEnd, actions: readonly DestinationAction[] = []): DestinationStep<never> {
  return { state: { is: 'over', end }, actions };
}

function stay<Parts extends DestinationParts>(state: DestinationState<Parts>): DestinationStep<Parts> {
  return { state, actions: [] };
}
