/**
 * The switchover as the source engine knows it: one state, events in, actions out (docs/engine-design.md, Switchover, has the
 * picture). Pure, so that the engine and the model test run the same code.
 */
import { type EngineEnd, interruption } from './engine-options.ts';

export type SourceState =
  /** Waiting for the destination engine. */
  | { readonly is: 'greeting' }
  /** Waiting for QEMU to connect. */
  | { readonly is: 'preparing' }
  /** QEMU sends. The target cannot start: the destination holds all device state. */
  | {
      readonly is: 'moving';
      readonly returnPath: boolean;
      readonly letGo: boolean;
      /** The destination has said that all of the stream before its end, or before the package, is with the target. */
      readonly confirmed: boolean;
    }
  /**
   * QEMU's stream is complete, or its package (`early`; `drained` as below), and the destination has not confirmed what came before. It
   * was not told to deliver: the target cannot start.
   */
  | {
      readonly is: 'confirming';
      readonly qemu: QemuEnd;
      readonly early: boolean;
      readonly drained: boolean;
    }
  /** QEMU's stream is complete and the destination was told to deliver it. The target may start at any moment. */
  | { readonly is: 'committing'; readonly qemu: QemuEnd }
  /** The target has the VM; QEMU has still to close its connection. */
  | { readonly is: 'closing' }
  /**
   * Early resume: the package is out, and the destination was told to deliver it. The target may run at any moment, and pages
   * follow. `drained`: QEMU's stream was handed on to its end, so that nothing is missing but what is on its way.
   */
  | { readonly is: 'switching'; readonly drained: boolean }
  /** The VM is at the destination; its missing pages follow. `qemuGone`: it has ended when nothing was to come from it any more. */
  | { readonly is: 'draining'; readonly drained: boolean; readonly qemuGone: boolean }
  /** The VM is at the destination, and nothing more goes there from here. QEMU is held, so that it does not run here. */
  | { readonly is: 'left-behind'; readonly why: Error }
  /** Nobody here can tell whether the target has the VM. `early`: as it is while `switching`, and so is `drained`. */
  | {
      readonly is: 'in-doubt';
      readonly why: Error;
      readonly qemu: QemuEnd;
      readonly link: 'up' | 'down';
      readonly early: boolean;
      readonly drained: boolean;
    }
  | { readonly is: 'over'; readonly end: SourceEnd };

/**
 * What QEMU does after its last byte: with a return path it waits for the target's word, its VM stopped, as long as its
 * connection stands; without one it has completed by itself; `closed-early`: it gave up waiting (migrate_cancel, killed), so
 * that its VM may run.
 */
export type QemuEnd = 'waits' | 'completes' | 'completed' | 'closed-early';

/** As any engine's, with what becomes of the VM here. */
export type SourceEnd =
  | Extract<EngineEnd, { at: 'destination' }>
  | (Extract<EngineEnd, { at: 'source' | 'source-cancelled' }> & { readonly vm: SourceVm })
  | Extract<EngineEnd, { at: 'destination-incomplete' }>
  | (Extract<EngineEnd, { at: 'in-doubt' }> & { readonly qemu: QemuEnd });

/**
 * What becomes of the VM at the source: QEMU lets it run on by itself; QEMU has taken the migration for completed and keeps it
 * stopped; or, without a return path, one of the two: only QEMU knows. After a package that did not start the target, QEMU
 * before 10.2 waits for a recovery that nobody can make.
 */
export type SourceVm = 'runs-on' | 'stopped' | 'runs-on-or-stopped' | 'package-failed';

export type SourceEvent =
  /** The destination engine has greeted. */
  | { readonly type: 'greeted' }
  | { readonly type: 'qemu-connected' }
  /** QEMU has opened its return path: it will wait for the target's word. */
  | { readonly type: 'return-path' }
  | { readonly type: 'stream-complete' }
  /** What was taken for the stream's end was none: more has come. */
  | { readonly type: 'stream-goes-on' }
  /** The destination has passed on all that came before the stream's end, or before the package. */
  | { readonly type: 'confirmed' }
  /** QEMU may go over to post-copy: whether it has sent its package is known only when that was read. */
  | { readonly type: 'let-go' }
  /** QEMU has sent the package of a migration that becomes post-copy. */
  | { readonly type: 'package-complete' }
  /** The package was made here of what was taken for all of QEMU's stream, and more has come: no target loads what is cut in a device. */
  | { readonly type: 'package-cut'; readonly why: Error }
  /** The destination says that the target has loaded the package: its VM runs, or waits to be continued. */
  | { readonly type: 'moved' }
  | { readonly type: 'qemu-closed'; readonly why: Error }
  /** The destination says that the target has everything, and said so. */
  | { readonly type: 'started' }
  /** The destination says that the target will never run. */
  | { readonly type: 'target-failed'; readonly why: Error }
  | { readonly type: 'link-broken'; readonly why: Error }
  /** An error of this engine, before or after the commit. */
  | { readonly type: 'failed'; readonly why: Error }
  | { readonly type: 'interrupted' }
  /** What is waited for has not come within its limit. */
  | { readonly type: 'limit'; readonly why: Error };

export type SourceAction =
  /** Tell the destination to deliver. */
  | { readonly do: 'commit' }
  /** Tell the destination why, and end the connection to it. */
  | { readonly do: 'abort'; readonly why: Error }
  /** Tell QEMU that the target has everything (SHUT 0): only now may its migration complete. */
  | { readonly do: 'finish-qemu' }
  /** Break QEMU's connection off: it takes the migration for failed, and its VM runs on. */
  | { readonly do: 'let-qemu-go' }
  /** Say loudly where to look. */
  | { readonly do: 'say-in-doubt'; readonly why: Error }
  /** Say that the VM is at the destination, without some of its pages, and what to do. */
  | { readonly do: 'say-left-behind'; readonly why: Error }
  /** Say why a signal does not end this now. */
  | { readonly do: 'refuse-signal' };

interface SourceStep {
  readonly state: SourceState;
  readonly actions: readonly SourceAction[];
}

export const sourceStart: SourceState = { is: 'greeting' };

export function stepSource(state: SourceState, event: SourceEvent): SourceStep {
  switch (state.is) {
    case 'greeting':
    case 'preparing':
    case 'moving':
      return beforeCommit(state, event);
    case 'confirming':
      return confirming(state, event);
    case 'committing':
      return committing(state, event);
    case 'switching':
      return switching(state, event);
    case 'draining':
      return draining(state, event);
    case 'left-behind':
      return leftBehind(state, event);
    case 'closing':
      return closing(state, event);
    case 'in-doubt':
      return inDoubt(state, event);
    case 'over':
      return stay(state);
  }
}

function beforeCommit(
  state: Extract<SourceState, { is: 'greeting' | 'preparing' | 'moving' }>,
  event: SourceEvent,
): SourceStep {
  switch (event.type) {
    case 'greeted':
      return state.is === 'greeting' ? { state: { is: 'preparing' }, actions: [] } : stay(state);
    case 'qemu-connected':
      return {
        state: { is: 'moving', returnPath: false, letGo: false, confirmed: false },
        actions: [],
      };
    case 'return-path':
      return state.is === 'moving' ? { state: { ...state, returnPath: true }, actions: [] } : stay(state);
    case 'let-go':
      return state.is === 'moving' ? { state: { ...state, letGo: true }, actions: [] } : stay(state);
    case 'confirmed':
      return state.is === 'moving' ? { state: { ...state, confirmed: true }, actions: [] } : stay(state);
    case 'stream-goes-on':
      return stay(state);
    case 'stream-complete': {
      if (state.is !== 'moving') return stay(state);
      const qemu = state.returnPath ? 'waits' : 'completes';
      return complete({ is: 'confirming', qemu, early: false, drained: false }, state.confirmed);
    }
    case 'package-complete':
      if (state.is !== 'moving') return stay(state);
      return complete({ is: 'confirming', qemu: 'waits', early: true, drained: false }, state.confirmed);
    case 'moved':
    case 'started': {
      const why = startedUntold();
      // There is no QEMU that could be kept, nor anything that it has sent.
      if (state.is !== 'moving') return atSource('runs-on', why, [{ do: 'abort', why }]);
      return enterDoubt(why, 'waits', 'up', [{ do: 'abort', why }]);
    }
    case 'qemu-closed':
    case 'target-failed':
    case 'package-cut':
    case 'failed':
    case 'limit':
      return endAtSource(vmBeforeCommit(state), event.why);
    case 'link-broken':
      return atSource(vmBeforeCommit(state), event.why, [{ do: 'let-qemu-go' }]);
    case 'interrupted':
      return cancelled(vmBeforeCommit(state));
  }
}

type Confirming = Extract<SourceState, { is: 'confirming' }>;

/** Nothing is committed before the destination has confirmed what came before: one that hangs leaves no doubt. */
function complete(state: Confirming, confirmed: boolean): SourceStep {
  if (!confirmed) return stay(state);
  const { early, qemu, drained } = state;
  return {
    state: early ? { is: 'switching', drained } : { is: 'committing', qemu },
    actions: [{ do: 'commit' }],
  };
}

function confirming(state: Confirming, event: SourceEvent): SourceStep {
  const { qemu, early } = state;
  const vm = early ? 'package-failed' : sourceVm(qemu);
  switch (event.type) {
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'let-go':
    case 'package-complete':
      return stay(state);
    case 'confirmed':
      return complete(state, true);
    case 'stream-complete':
      return stay(early ? { ...state, drained: true } : state);
    case 'stream-goes-on':
      if (early) return stay(state);
      return stay({ is: 'moving', returnPath: qemu === 'waits', letGo: false, confirmed: false });
    case 'moved':
    case 'started': {
      const why = startedUntold();
      return enterDoubt(why, qemu, 'up', [{ do: 'abort', why }]);
    }
    case 'qemu-closed':
      // Without a return path it has completed.
      if (qemu !== 'waits') return stay({ ...state, qemu: 'completed' });
      return endAtSource(vm, event.why);
    case 'target-failed':
    case 'package-cut':
    case 'failed':
    case 'limit':
      return endAtSource(vm, event.why);
    case 'link-broken':
      return atSource(vm, event.why, [{ do: 'let-qemu-go' }]);
    case 'interrupted':
      return cancelled(vm);
  }
}

/** The destination holds all device state, so that this is a lie or a fault; either way it must not run here beside. */
function startedUntold(): Error {
  return new Error('the destination says that the target has started before it was told to');
}

/** Before the commit. */
function endAtSource(vm: SourceVm, why: Error): SourceStep {
  return atSource(vm, why, [{ do: 'abort', why }, { do: 'let-qemu-go' }]);
}

function cancelled(vm: SourceVm): SourceStep {
  return {
    state: { is: 'over', end: { at: 'source-cancelled', vm } },
    actions: [{ do: 'abort', why: interruption() }, { do: 'let-qemu-go' }],
  };
}

/**
 * A package that is on its way when the connection breaks is as one that failed. Without a return path QEMU completes when the kernel has taken its last byte, which may be before this engine has read it.
 */
function vmBeforeCommit(state: Extract<SourceState, { is: 'greeting' | 'preparing' | 'moving' }>): SourceVm {
  if (state.is !== 'moving') return 'runs-on';
  if (state.letGo) return 'package-failed';
  return state.returnPath ? 'runs-on' : 'runs-on-or-stopped';
}

function committing(state: Extract<SourceState, { is: 'committing' }>, event: SourceEvent): SourceStep {
  const { qemu } = state;
  switch (event.type) {
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'stream-complete':
    case 'stream-goes-on':
    case 'confirmed':
    case 'let-go':
    case 'package-complete':
    case 'package-cut':
    case 'moved':
      return stay(state);
    case 'started':
      return qemu === 'completed' ? over({ at: 'destination' }) : close();
    case 'target-failed':
      return targetFailed(qemu, event.why);
    case 'qemu-closed':
      if (qemu !== 'waits') return { state: { is: 'committing', qemu: 'completed' }, actions: [] };
      // Its own word that the migration is over must come after the target's: this QEMU was cancelled or killed, and the
      // commit cannot be called back. It may have been killed, so that what the destination has is the only VM.
      return enterDoubt(event.why, 'closed-early', 'up', []);
    case 'link-broken':
      return enterDoubt(event.why, qemu, 'down', []);
    case 'failed':
      return enterDoubt(event.why, qemu, 'down', [{ do: 'abort', why: event.why }]);
    case 'limit':
      return enterDoubt(event.why, qemu, 'up', []);
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

function switching(state: Extract<SourceState, { is: 'switching' }>, event: SourceEvent): SourceStep {
  const { drained } = state;
  switch (event.type) {
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'stream-goes-on':
    case 'confirmed':
    case 'let-go':
    case 'package-complete':
    case 'package-cut':
      return stay(state);
    case 'stream-complete':
      return { state: { ...state, drained: true }, actions: [] };
    case 'moved':
      return { state: { is: 'draining', drained, qemuGone: false }, actions: [] };
    case 'started':
      return close();
    case 'target-failed':
      return atSource('package-failed', event.why, [{ do: 'let-qemu-go' }]);
    case 'qemu-closed':
      return enterDoubt(event.why, 'closed-early', 'up', [], { drained });
    case 'link-broken':
      return enterDoubt(event.why, 'waits', 'down', [], { drained });
    case 'failed':
      return enterDoubt(event.why, 'waits', 'down', [{ do: 'abort', why: event.why }], { drained });
    case 'limit':
      return enterDoubt(event.why, 'waits', 'up', [], { drained });
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

/** Nothing brings the VM back from here on. */
function draining(state: Extract<SourceState, { is: 'draining' }>, event: SourceEvent): SourceStep {
  const { drained, qemuGone } = state;
  const leave = (why: Error, before: readonly SourceAction[] = []): SourceStep =>
    qemuGone
      ? endIncomplete(why, before)
      : { state: { is: 'left-behind', why }, actions: [...before, { do: 'say-left-behind', why }] };
  switch (event.type) {
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'stream-goes-on':
    case 'confirmed':
    case 'let-go':
    case 'package-complete':
    case 'package-cut':
    case 'moved':
      return stay(state);
    case 'stream-complete':
      return { state: { ...state, drained: true }, actions: [] };
    case 'started':
      return qemuGone ? over({ at: 'destination' }) : close();
    case 'qemu-closed':
      // libvirt ends it as soon as the target has everything, which may be heard here before the destination's word.
      if (drained) return { state: { ...state, qemuGone: true }, actions: [] };
      // Its memory may be gone with it. The destination goes on by itself if it can, and says so if not.
      return endIncomplete(event.why, [{ do: 'abort', why: event.why }]);
    case 'target-failed':
    case 'link-broken':
      return leave(event.why);
    case 'failed':
    case 'limit':
      return leave(event.why, [{ do: 'abort', why: event.why }]);
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

function leftBehind(state: Extract<SourceState, { is: 'left-behind' }>, event: SourceEvent): SourceStep {
  switch (event.type) {
    case 'qemu-closed':
      return over({ at: 'destination-incomplete', why: state.why });
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'stream-complete':
    case 'stream-goes-on':
    case 'confirmed':
    case 'let-go':
    case 'package-complete':
    case 'package-cut':
    case 'moved':
    case 'started':
    case 'target-failed':
    case 'link-broken':
    case 'failed':
    case 'limit':
      return stay(state);
  }
}

function close(): SourceStep {
  return { state: { is: 'closing' }, actions: [{ do: 'finish-qemu' }] };
}

function closing(state: SourceState, event: SourceEvent): SourceStep {
  switch (event.type) {
    case 'qemu-closed':
    case 'limit':
      return over({ at: 'destination' });
    case 'interrupted':
      return { state, actions: [{ do: 'refuse-signal' }] };
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'stream-complete':
    case 'stream-goes-on':
    case 'confirmed':
    case 'let-go':
    case 'package-complete':
    case 'package-cut':
    case 'moved':
    case 'started':
    case 'target-failed':
    case 'link-broken':
    case 'failed':
      return stay(state);
  }
}

function inDoubt(state: Extract<SourceState, { is: 'in-doubt' }>, event: SourceEvent): SourceStep {
  const { why, qemu, link, early, drained } = state;
  switch (event.type) {
    case 'greeted':
    case 'qemu-connected':
    case 'return-path':
    case 'stream-goes-on':
    case 'confirmed':
    case 'let-go':
    case 'package-complete':
    case 'package-cut':
      return stay(state);
    case 'stream-complete':
      return early ? { state: { ...state, drained: true }, actions: [] } : stay(state);
    case 'moved':
      if (!early) return stay(state);
      if (qemu === 'waits' || drained)
        return { state: { is: 'draining', drained, qemuGone: qemu !== 'waits' }, actions: [] };
      return endIncomplete(why, [{ do: 'abort', why }]);
    case 'started':
      switch (qemu) {
        case 'waits':
        case 'completes':
          return close();
        case 'completed':
          return over({ at: 'destination' });
        case 'closed-early':
          if (early && drained) return over({ at: 'destination' });
          return leaveDoubt(
            new Error(
              `the target has the VM, and the QEMU here ended its migration by itself: ${why.message}`,
            ),
            qemu,
          );
      }
    // Every case above returns.
    case 'target-failed':
      if (early) return atSource('package-failed', event.why, [{ do: 'let-qemu-go' }]);
      return targetFailed(qemu, event.why);
    case 'qemu-closed': {
      const ended: QemuEnd = qemu === 'waits' ? 'closed-early' : qemu === 'completes' ? 'completed' : qemu;
      if (link === 'down') return leaveDoubt(why, ended);
      return { state: { ...state, qemu: ended }, actions: [] };
    }
    case 'link-broken':
    case 'failed':
      if (qemu === 'completed' || qemu === 'closed-early') return leaveDoubt(why, qemu);
      return { state: { ...state, link: 'down' }, actions: [] };
    case 'limit':
      if (qemu === 'completed' || qemu === 'closed-early') {
        return { ...leaveDoubt(why, qemu), actions: [{ do: 'abort', why }] };
      }
      return { state, actions: [{ do: 'say-in-doubt', why }] };
    case 'interrupted':
      // Ending would let QEMU go, and its VM run beside the target's. Whoever has looked tells QEMU.
      return { state, actions: [{ do: 'refuse-signal' }] };
  }
}

/** When QEMU's stream is complete. */
function sourceVm(qemu: QemuEnd): SourceVm {
  return qemu === 'completes' || qemu === 'completed' ? 'stopped' : 'runs-on';
}

/** QEMU that waits has been told by the target, or is told by the broken connection; one that completed stays stopped. */
function targetFailed(qemu: QemuEnd, why: Error): SourceStep {
  return atSource(sourceVm(qemu), why, [{ do: 'let-qemu-go' }]);
}

function enterDoubt(
  why: Error,
  qemu: QemuEnd,
  link: 'up' | 'down',
  before: readonly SourceAction[],
  early?: { readonly drained: boolean },
): SourceStep {
  const actions: readonly SourceAction[] = [...before, { do: 'say-in-doubt', why }];
  // Where QEMU holds nothing for us and nobody can bring news, there is nothing to stay for.
  if (link === 'down' && (qemu === 'completed' || qemu === 'closed-early')) {
    return { state: { is: 'over', end: { at: 'in-doubt', why, qemu } }, actions };
  }
  const drained = early?.drained ?? false;
  return { state: { is: 'in-doubt', why, qemu, link, early: early !== undefined, drained }, actions };
}

/** The VM is at the destination, and there is no QEMU here any more that could give the rest. */
function endIncomplete(why: Error, before: readonly SourceAction[]): SourceStep {
  return {
    state: { is: 'over', end: { at: 'destination-incomplete', why } },
    actions: [...before, { do: 'say-left-behind', why }],
  };
}

function leaveDoubt(why: Error, qemu: QemuEnd): SourceStep {
  return {
    state: { is: 'over', end: { at: 'in-doubt', why, qemu } },
    actions: [{ do: 'say-in-doubt', why }],
  };
}

function atSource(vm: SourceVm, why: Error, actions: readonly SourceAction[]): SourceStep {
  return { state: { is: 'over', end: { at: 'source', vm, why } }, actions };
}

function over(end: SourceEnd): SourceStep {
  return { state: { is: 'over', end }, actions: [] };
}

function stay(state: SourceState): SourceStep {
  return { state, actions: [] };
}
