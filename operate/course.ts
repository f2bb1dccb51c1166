/**
 * The course of one `poolshift migrate`: one state, events in, actions out. Pure, so that the command and its test run the same
 * code. What QEMU and libvirt do is their own affair; this decides when they are told to begin, whether they may still be told to
 * stop, and what is said of where the VM is.
 *
 * ```
 * idle --> starting --both listen--> moving --libvirt or QEMU has ended--> looking --where is it?--> over
 *    |  \--an engine fails, Ctrl-C--> over                ^
 *    |                             \--in doubt for too long, or left--> over: in doubt
 * ```
 *
 * Early resume: while `moving`, the VM is stopped at the source when it may move, and continued at the target when that has it. Where
 * it turns out to be at the source all the same, it is continued there while `looking`, and looked for again. Once all that it
 * misses lies on storage, the destination engine goes on without the source: whether it has got everything is waited for.
 */

export type EngineRole = 'source' | 'destination';

/**
 * What a host says of the VM; `unknown` where it does not answer; `absent` where it has not come; `ended` where there is no QEMU that could
 * run it, or the guest has shut down.
 */
export type VmState = 'running' | 'paused' | 'absent' | 'ended' | 'unknown';

export type Outcome =
  /** The VM is at the destination. */
  | 'migrated'
  /** It runs on at the source. */
  | 'failed'
  /** It is at the source, and stands: somebody has to continue it there. */
  | 'failed-paused'
  /** Ended by Ctrl-C; it runs on at the source. */
  | 'cancelled'
  /** Early resume: the VM is at the destination, and pages of it that are still at the source do not come any more. */
  | 'incomplete'
  /** It has ended, shut down or killed, and runs on neither host. */
  | 'vm-ended'
  /** Nobody here can tell where it is. */
  | 'in-doubt';

export const exitCodes: Readonly<Record<Outcome, number>> = {
  migrated: 0,
  failed: 1,
  'failed-paused': 1,
  'in-doubt': 3,
  incomplete: 6,
  'vm-ended': 7,
  cancelled: 130,
};
/** The command line is wrong. */
export const usageExitCode = 2;
/** Migrated, and suspended there: its memory differs, or could not be compared. */
export const unverifiedExitCode = 5;
/** A check stands in the way: nothing was started. */
export const refusedExitCode = 4;

type Commit =
  /** The target has nothing to start with. */
  | 'none'
  /** An engine has said that the stream is complete. */
  | 'committed'
  /** An engine has said that it cannot know. */
  | 'in-doubt'
  /** Early resume: the VM is at the destination, and its pages follow. */
  | 'moved';

/**
 * Where that is which the VM misses after its early move: with the source, it could be lost; `there`: nothing is missing;
 * `not-coming`: the destination engine has ended before.
 */
type Rest = 'at-source' | 'on-storage' | 'there' | 'not-coming';

/** What is known once the migration has begun. */
interface Course {
  readonly commit: Commit;
  readonly rest: Rest;
  readonly interrupted: boolean;
  /** Early resume: the VM was stopped at the source for its move. */
  readonly told: boolean;
  /** The source engine has gone without a last word, or the way to it is lost: it may have said more, and that it commits. */
  readonly unheard: boolean;
}

export type CourseState =
  /** Nothing has been started. */
  | { readonly is: 'idle' }
  /** Engines are started; which of them listens. */
  | { readonly is: 'starting'; readonly listening: readonly EngineRole[] }
  /** `withoutSource`: its engine has given up, and the destination's goes on. */
  | (Course & { readonly is: 'moving'; readonly withoutSource: boolean })
  /**
   * libvirt or QEMU has ended: both hosts are asked. `waits`: they were, and the destination engine has still to say its last word.
   * `doubts`: they were, and it could still say that the VM, which stands, has moved.
   */
  | (Course & {
      readonly is: 'looking';
      readonly succeeded: boolean;
      readonly waits: boolean;
      readonly doubts: boolean;
      /** It was told to go on at the source. */
      readonly givenBack: boolean;
    })
  | { readonly is: 'over'; readonly outcome: Outcome };

export type CourseEvent =
  | { readonly type: 'begin'; readonly engines: boolean }
  | { readonly type: 'listening'; readonly role: EngineRole }
  /** `silent`: without a last word of how it ended. */
  | { readonly type: 'engine-ended'; readonly role: EngineRole; readonly silent: boolean }
  /** The way to the source engine's host is lost, or found again: what it says comes late. */
  | { readonly type: 'unheard'; readonly is: boolean }
  /** An engine could not be started. */
  | { readonly type: 'start-failed' }
  | { readonly type: 'committed' }
  | { readonly type: 'in-doubt' }
  /** Early resume: enough is at the destination. */
  | { readonly type: 'may-move' }
  /** Early resume: the target has the VM. */
  | { readonly type: 'moved' }
  /** Early resume: all that is missing lies on storage. */
  | { readonly type: 'source-free' }
  /** Early resume: it does not. */
  | { readonly type: 'source-needed' }
  /** The target has everything, by the word of the destination engine. */
  | { readonly type: 'started' }
  /** Early resume: an engine has given up after the VM has moved. */
  | { readonly type: 'incomplete'; readonly role: EngineRole }
  | { readonly type: 'interrupt' }
  /** libvirt's, or QEMU's, migration has ended, well or not. */
  | { readonly type: 'migration-ended'; readonly succeeded: boolean }
  /** The doubt has lasted for as long as anybody waits. */
  | { readonly type: 'doubt-limit' }
  | { readonly type: 'looked'; readonly source: VmState; readonly destination: VmState };

export type CourseAction =
  | { readonly do: 'start-engine'; readonly role: EngineRole }
  | { readonly do: 'start-migration' }
  /** `virsh domjobabort`, `migrate_cancel`; once the VM was told to move, the engine knows whether it still can be. */
  | { readonly do: 'abort-migration' }
  /** Say why Ctrl-C does nothing now. */
  | { readonly do: 'refuse-signal'; readonly why: 'aborting' | 'ended' | Exclude<Commit, 'none'> }
  /** Stop the VM at the source, and tell its engine that it moves. */
  | { readonly do: 'move' }
  /** The target has the VM: it runs there from now on. */
  | { readonly do: 'continue-target' }
  /** The VM is at the source after all, where it was stopped for its move; then look again. */
  | { readonly do: 'continue-source' }
  /** Wait for a late answer, for so long and no longer. */
  | { readonly do: 'limit-doubt' }
  | { readonly do: 'look' }
  /** Engines that wait for a migration which will not come are told to end. One in doubt is left alone. */
  | { readonly do: 'stop-engines' };

interface CourseStep {
  readonly state: CourseState;
  readonly actions: readonly CourseAction[];
}

export const courseStart: CourseState = { is: 'idle' };

const stay = (state: CourseState, ...actions: readonly CourseAction[]): CourseStep => ({ state, actions });
const over = (outcome: Outcome, ...actions: readonly CourseAction[]): CourseStep => ({
  state: { is: 'over', outcome },
  actions,
});

export function step(state: CourseState, event: CourseEvent): CourseStep {
  switch (state.is) {
    case 'idle':
      return whileIdle(state, event);
    case 'starting':
      return whileStarting(state, event);
    case 'moving':
      return whileMoving(state, event);
    case 'looking':
      return whileLooking(state, event);
    case 'over':
      return stay(state);
  }
}

const begun: Course = { commit: 'none', rest: 'at-source', interrupted: false, told: false, unheard: false };
export const moving: CourseState = { is: 'moving', ...begun, withoutSource: false };

function whileIdle(state: CourseState, event: CourseEvent): CourseStep {
  if (event.type === 'interrupt') return over('cancelled');
  if (event.type !== 'begin') return stay(state);
  if (!event.engines) return stay(moving, { do: 'start-migration' });
  // The source engine connects at once, so the other one listens first.
  return stay({ is: 'starting', listening: [] }, { do: 'start-engine', role: 'destination' });
}

function whileStarting(state: Extract<CourseState, { is: 'starting' }>, event: CourseEvent): CourseStep {
  switch (event.type) {
    case 'listening': {
      const listening = [...new Set([...state.listening, event.role])];
      if (listening.length === 2) return stay(moving, { do: 'start-migration' });
      return event.role === 'destination' && !state.listening.includes('destination')
        ? stay({ ...state, listening }, { do: 'start-engine', role: 'source' })
        : stay({ ...state, listening });
    }
    case 'engine-ended':
    case 'start-failed':
      return over('failed', { do: 'stop-engines' });
    case 'unheard':
      return stay(state);
    case 'interrupt':
      return over('cancelled', { do: 'stop-engines' });
    // Not before the migration.
    case 'begin':
    case 'committed':
    case 'in-doubt':
    case 'may-move':
    case 'moved':
    case 'source-free':
    case 'source-needed':
    case 'started':
    case 'incomplete':
    case 'migration-ended':
    case 'doubt-limit':
    case 'looked':
      return stay(state);
  }
}

function look({ commit, rest, interrupted, told, unheard }: Course, succeeded: boolean): CourseStep {
  const known = { commit, rest, interrupted, told, unheard, succeeded };
  return stay({ is: 'looking', ...known, waits: false, doubts: false, givenBack: false }, { do: 'look' });
}

function whileMoving(state: Extract<CourseState, { is: 'moving' }>, event: CourseEvent): CourseStep {
  const { commit, rest, interrupted, told } = state;
  switch (event.type) {
    case 'committed':
      return stay(commit === 'none' ? { ...state, commit: 'committed' } : state);
    case 'in-doubt':
      return commit === 'in-doubt' || commit === 'moved'
        ? stay(state)
        : stay({ ...state, commit: 'in-doubt' }, { do: 'limit-doubt' });
    case 'may-move':
      if (told || interrupted || commit !== 'none') return stay(state);
      return stay({ ...state, told: true }, { do: 'move' });
    case 'moved':
      return commit === 'moved'
        ? stay(state)
        : stay({ ...state, commit: 'moved' }, { do: 'continue-target' });
    case 'source-free':
    case 'source-needed':
      return stay({ ...state, rest: restAfter(rest, event.type) });
    case 'started':
      // The source's QEMU is told by nobody any more, and does not end by itself.
      return state.withoutSource
        ? look({ ...state, rest: 'there' }, false)
        : stay({ ...state, rest: 'there' });
    case 'incomplete':
      if (event.role === 'destination' || rest === 'at-source' || rest === 'not-coming')
        return over('incomplete');
      // It has said before that the VM has moved.
      if (rest === 'there') return look({ ...state, commit: 'moved' }, false);
      return stay({ ...state, commit: 'moved', withoutSource: true });
    case 'interrupt':
      // The target may run at any moment now: what lets the source go on would make two of one VM.
      if (commit !== 'none') return stay(state, { do: 'refuse-signal', why: commit });
      if (interrupted) return stay(state, { do: 'refuse-signal', why: 'aborting' });
      return stay({ ...state, interrupted: true }, { do: 'abort-migration' });
    case 'migration-ended':
      return look(state, event.succeeded);
    case 'doubt-limit':
      return commit === 'in-doubt' ? over('in-doubt') : stay(state);
    case 'unheard':
      return stay({ ...state, unheard: event.is });
    // QEMU sees it at its connection, and libvirt at QEMU: the migration ends by itself.
    case 'engine-ended':
      if (event.role === 'source') return stay({ ...state, unheard: event.silent });
      if (rest === 'there') return stay(state);
      return state.withoutSource
        ? look({ ...state, rest: 'not-coming' }, false)
        : stay({ ...state, rest: 'not-coming' });
    case 'listening':
    case 'start-failed':
    case 'begin':
    case 'looked':
      return stay(state);
  }
}

function whileLooking(state: Extract<CourseState, { is: 'looking' }>, event: CourseEvent): CourseStep {
  switch (event.type) {
    case 'looked': {
      const outcome = verdict(state, event);
      if (outcome === 'incomplete' && state.rest === 'on-storage') return stay({ ...state, waits: true });
      if (outcome === 'failed-paused' && state.told && !state.givenBack)
        return stay({ ...state, givenBack: true }, { do: 'continue-source' });
      if (outcome === 'in-doubt' && !state.doubts && event.source !== 'running' && mayHaveMoved(state))
        return stay({ ...state, doubts: true }, { do: 'limit-doubt' });
      return outcome === 'in-doubt' ? over(outcome) : over(outcome, { do: 'stop-engines' });
    }
    case 'in-doubt':
    case 'committed':
      return stay(
        state.commit === 'in-doubt' || state.commit === 'moved' ? state : { ...state, commit: event.type },
      );
    case 'moved':
      // QEMU at the source may have ended in the middle of the move. What was given back there is never continued here as well.
      return stay(
        { ...state, commit: 'moved' },
        ...(state.commit === 'moved' || state.givenBack ? [] : [{ do: 'continue-target' } as const]),
      );
    case 'source-free':
      return stay({ ...state, rest: restAfter(state.rest, event.type) });
    case 'source-needed':
      return lookAgain({ ...state, rest: restAfter(state.rest, event.type) });
    case 'started':
      return lookAgain({ ...state, rest: 'there' });
    case 'incomplete':
      if (event.role === 'destination' || state.rest === 'at-source' || state.rest === 'not-coming')
        return over('incomplete');
      return stay({ ...state, commit: 'moved' });
    case 'unheard':
      return stay({ ...state, unheard: event.is });
    case 'engine-ended':
      // Without a word of it: it was killed, or its host is lost.
      if (event.role === 'source') return stay({ ...state, unheard: event.silent });
      if (state.rest === 'there') return stay(state);
      return lookAgain({ ...state, rest: 'not-coming' });
    case 'may-move':
      return stay(state);
    case 'interrupt':
      if (state.commit !== 'none') return stay(state, { do: 'refuse-signal', why: state.commit });
      return stay(state, { do: 'refuse-signal', why: state.interrupted ? 'aborting' : 'ended' });
    case 'doubt-limit':
      if (!state.doubts) return stay(state);
      return state.commit === 'moved' ? stay(state, { do: 'look' }) : over('in-doubt');
    case 'listening':
    case 'start-failed':
    case 'begin':
    case 'migration-ended':
      return stay(state);
  }
}

/** Early resume: the destination was told to deliver, and its engine has not said what came of it. */
function mayHaveMoved({ told, commit, rest }: Course): boolean {
  return told && (commit === 'committed' || commit === 'in-doubt') && rest !== 'not-coming';
}

/** Both engines say it, and each is heard when it is: the last word of the destination's is not taken back by the source's. */
function restAfter(rest: Rest, said: 'source-free' | 'source-needed'): Rest {
  if (rest === 'there' || rest === 'not-coming') return rest;
  return said === 'source-free' ? 'on-storage' : 'at-source';
}

/** What was waited for has come, or never will. */
function lookAgain(state: Extract<CourseState, { is: 'looking' }>): CourseStep {
  return state.waits || state.doubts ? stay({ ...state, waits: false }, { do: 'look' }) : stay(state);
}

/** What is said of where the VM is, once libvirt or QEMU has ended. */
export function verdict(
  {
    succeeded,
    interrupted,
    commit,
    rest,
    told,
    unheard,
  }: Pick<
    Extract<CourseState, { is: 'looking' }>,
    'succeeded' | 'interrupted' | 'commit' | 'rest' | 'told' | 'unheard'
  >,
  { source, destination }: { readonly source: VmState; readonly destination: VmState },
): Outcome {
  // Nobody should ever see this; if they do, a person has to look.
  if (source === 'running' && destination === 'running') return 'in-doubt';
  if (succeeded) return source === 'running' ? 'in-doubt' : 'migrated';
  const cannotBegin = destination === 'absent' && commit === 'none' && !unheard;
  if (source === 'ended' && (destination === 'ended' || cannotBegin)) return 'vm-ended';
  // One that was told to move may run there before an engine has said so.
  if (commit === 'moved' || (told && destination === 'running')) {
    if (source === 'running') return 'in-doubt';
    return rest === 'there' ? 'migrated' : 'incomplete';
  }
  // libvirt lets the source go on also where only the destination's answer was lost: who has committed may have the VM there as well.
  const mayHaveBegun = commit !== 'none' || unheard;
  if (source === 'running' && destination === 'unknown' && mayHaveBegun) return 'in-doubt';
  if (source === 'running') return interrupted ? 'cancelled' : 'failed';
  if (destination === 'running') return 'migrated';
  // It stands here, and may have begun there: never say "continue it" after the commit, nor where one may have come that nobody heard.
  const mayBeThere =
    commit !== 'none' ||
    destination === 'unknown' ||
    (unheard && destination !== 'absent' && destination !== 'ended');
  if (source === 'paused' && !mayBeThere) return 'failed-paused';
  return 'in-doubt';
}
