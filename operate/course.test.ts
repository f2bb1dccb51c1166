/** Every state that any order of events leads to, and what must hold in each. */
import test from 'ava';
import {
  courseStart,
  exitCodes,
  moving,
  step,
  verdict,
  type CourseAction,
  type CourseEvent,
  type CourseState,
  type VmState,
} from './course.ts';

const vmStates: readonly VmState[] = ['running', 'paused', 'absent', 'ended', 'unknown'];
const roles = ['source', 'destination'] as const;
const rests = ['at-source', 'on-storage', 'there', 'not-coming'] as const;
const flags = [false, true];

const events: readonly CourseEvent[] = [
  ...flags.map((engines): CourseEvent => ({ type: 'begin', engines })),
  ...roles.flatMap((role): CourseEvent[] => [
    { type: 'listening', role },
    ...flags.map((silent): CourseEvent => ({ type: 'engine-ended', role, silent })),
    { type: 'incomplete', role },
  ]),
  ...flags.map((is): CourseEvent => ({ type: 'unheard', is })),
  ...(
    [
      ...(['start-failed', 'committed', 'in-doubt', 'interrupt', 'doubt-limit'] as const),
      ...(['may-move', 'moved', 'source-free', 'source-needed', 'started'] as const),
    ] as const
  ).map((type): CourseEvent => ({ type })),
  ...flags.map((succeeded): CourseEvent => ({ type: 'migration-ended', succeeded })),
  ...vmStates.flatMap((source) =>
    vmStates.map((destination): CourseEvent => ({ type: 'looked', source, destination })),
  ),
];

/** What has been done and heard on the way to a state, as far as the promises are about it. */
interface Past {
  readonly begun: boolean;
  readonly aborted: boolean;
  readonly committed: boolean;
  /** The source engine has gone without a word, and may have committed. */
  readonly unheard: boolean;
  /** The VM was stopped at the source, and continued there, or at the target. */
  readonly stopped: boolean;
  readonly givenBack: boolean;
  readonly continued: boolean;
  readonly listening: readonly string[];
  readonly engines: boolean;
}

interface Visit {
  readonly state: CourseState;
  readonly past: Past;
}

const start: Visit = {
  state: courseStart,
  past: {
    ...{ begun: false, aborted: false, committed: false, unheard: false },
    ...{ stopped: false, givenBack: false, continued: false },
    listening: [],
    engines: false,
  },
};

function after(past: Past, event: CourseEvent, actions: readonly CourseAction[]): Past {
  const did = (name: CourseAction['do']): boolean => actions.some((action) => action.do === name);
  return {
    begun: past.begun || did('start-migration'),
    aborted: past.aborted || did('abort-migration'),
    committed:
      past.committed || (past.begun && ['committed', 'in-doubt', 'moved', 'incomplete'].includes(event.type)),
    unheard:
      past.begun && event.type === 'engine-ended' && event.role === 'source'
        ? event.silent
        : past.begun && event.type === 'unheard'
          ? event.is
          : past.unheard,
    stopped: past.stopped || did('move'),
    givenBack: past.givenBack || did('continue-source'),
    continued: past.continued || did('continue-target'),
    listening:
      event.type === 'listening' ? [...new Set([...past.listening, event.role])].sort() : past.listening,
    engines: past.engines || did('start-engine'),
  };
}

/** All (state, past, event) that can be. */
function* everyStep(): Generator<
  Visit & {
    readonly event: CourseEvent;
    readonly next: CourseState;
    readonly actions: readonly CourseAction[];
  }
> {
  const seen = new Set<string>();
  const open = [start];
  for (let visit = open.pop(); visit !== undefined; visit = open.pop()) {
    const key = JSON.stringify(visit);
    if (seen.has(key)) continue;
    seen.add(key);
    for (const event of events) {
      const { state, actions } = step(visit.state, event);
      yield { ...visit, event, next: state, actions };
      open.push({ state, past: after(visit.past, event, actions) });
    }
  }
}

test('whatever happens, in whatever order', (t) => {
  let steps = 0;
  for (const { state, past, event, next, actions } of everyStep()) {
    steps += 1;
    const what = JSON.stringify({ state, past, event, next, actions });
    const does = (name: CourseAction['do']): boolean => actions.some((action) => action.do === name);
    if (does('abort-migration')) {
      t.true(past.begun && !past.committed, `nothing is aborted after the commit: ${what}`);
      t.false(past.aborted, `nor twice: ${what}`);
    }
    if (does('start-migration')) {
      t.false(past.begun, `a migration begins once: ${what}`);
      if (past.engines) t.deepEqual(after(past, event, actions).listening, ['destination', 'source'], what);
    }
    if (does('move')) {
      t.false(past.stopped, `the VM is stopped for its move once: ${what}`);
      t.false(past.aborted || past.committed, `and not after an abort or the commit: ${what}`);
    }
    if (does('continue-source')) {
      t.true(past.stopped && !past.givenBack, `only what was stopped is continued, once: ${what}`);
      t.false(past.committed || past.continued, `and never after the commit: ${what}`);
      t.true(event.type === 'looked' && event.source === 'paused' && event.destination !== 'running', what);
      if (past.unheard)
        t.true(event.type === 'looked' && ['absent', 'ended'].includes(event.destination), what);
    }
    if (does('continue-target')) {
      t.is(event.type, 'moved', what);
      t.false(past.givenBack || past.continued, `never two: ${what}`);
    }
    if (state.is === 'over') {
      t.deepEqual(next, state, `over is over: ${what}`);
      t.deepEqual(actions, []);
    }
    if (next.is === 'over' && state.is !== 'over') {
      // Who does not know has looked, or has waited for as long as anybody does.
      if (past.begun)
        t.true(state.is === 'looking' || next.outcome === 'in-doubt' || event.type === 'incomplete', what);
      if (past.committed)
        t.not(next.outcome, 'failed-paused', `no word of continuing the source after the commit: ${what}`);
      if (past.unheard && next.outcome === 'failed-paused')
        t.true(
          event.type === 'looked' && ['absent', 'ended'].includes(event.destination),
          `nor after one that nobody heard: ${what}`,
        );
      if (next.outcome === 'migrated') t.true(past.begun, what);
      if (next.outcome === 'cancelled' && past.begun) t.true(past.aborted, what);
    }
  }
  t.true(steps > 1000, `${steps} steps`);
});

test('a migration that ended is looked at, and one in doubt is waited for', (t) => {
  t.deepEqual(step(moving, { type: 'migration-ended', succeeded: false }).actions, [{ do: 'look' }]);
  const { state, actions } = step(moving, { type: 'in-doubt' });
  t.deepEqual(actions, [{ do: 'limit-doubt' }]);
  t.deepEqual(step(state, { type: 'interrupt' }).actions, [{ do: 'refuse-signal', why: 'in-doubt' }]);
  t.deepEqual(step(state, { type: 'doubt-limit' }), {
    state: { is: 'over', outcome: 'in-doubt' },
    actions: [],
  });
});

test('Ctrl-C while it is looked where the VM is says what is going on', (t) => {
  const interrupt = { type: 'interrupt' } as const;
  for (const [before, why] of [
    [[], 'ended'],
    [[interrupt], 'aborting'],
    [[{ type: 'committed' } as const], 'committed'],
  ] as const) {
    let state: CourseState = moving;
    for (const event of [...before, { type: 'migration-ended', succeeded: false } as const])
      ({ state } = step(state, event));
    t.deepEqual(step(state, interrupt).actions, [{ do: 'refuse-signal', why }]);
  }
});

test('the verdict of every word of both hosts', (t) => {
  for (const succeeded of flags)
    for (const interrupted of flags)
      for (const commit of ['none', 'committed', 'in-doubt', 'moved'] as const)
        for (const source of vmStates)
          for (const [destination, rest] of vmStates.flatMap((state) =>
            rests.map((one) => [state, one] as const),
          )) {
            for (const [told, unheard] of flags.flatMap((one) =>
              flags.map((other) => [one, other] as const),
            )) {
              const known = { succeeded, interrupted, commit, rest, told, unheard };
              const outcome = verdict(known, { source, destination });
              const what = JSON.stringify({ ...known, source, destination, outcome });
              // What was told to move and runs there has moved, whether an engine has said so or not.
              const hasMoved = commit === 'moved' || (told && destination === 'running');
              const isThere = hasMoved && rest === 'there';
              if (outcome === 'migrated')
                t.true(
                  source !== 'running' && (succeeded || isThere || (!hasMoved && destination === 'running')),
                  what,
                );
              if (outcome === 'failed' || outcome === 'cancelled') {
                t.true(source === 'running' && destination !== 'running', what);
                // After the commit somebody at the destination has to say that the VM is not there.
                if (commit !== 'none' || unheard) t.not(destination, 'unknown', what);
              }
              if (outcome === 'cancelled') t.true(interrupted, what);
              if (outcome === 'failed-paused') {
                t.true(source === 'paused' && commit === 'none', what);
                t.true(
                  ['absent', 'ended'].includes(destination) || (destination === 'paused' && !unheard),
                  what,
                );
              }
              if (source === 'unknown' && !succeeded && destination !== 'running' && commit !== 'moved')
                t.is(outcome, 'in-doubt', what);
              // The source has what is missing, and never runs again.
              if (hasMoved && outcome !== 'vm-ended')
                t.true(
                  outcome === 'in-doubt' || outcome === (succeeded || isThere ? 'migrated' : 'incomplete'),
                  what,
                );
              // Certain: nobody could begin it any more.
              if (outcome === 'vm-ended') {
                t.is(source, 'ended', what);
                if (destination !== 'ended') {
                  t.is(destination, 'absent', what);
                  t.true(commit === 'none' && !unheard, what);
                }
              }
              if (source === 'ended' && destination === 'ended' && !succeeded)
                t.is(outcome, 'vm-ended', what);
              t.true(outcome in exitCodes);
            }
          }
});

test('a VM that has moved is continued, also where QEMU at the source had ended before an engine said so', (t) => {
  const moved = { type: 'moved' } as const;
  let looking = 0;
  for (const { state, past, event, actions } of everyStep()) {
    if (event.type !== 'moved' || (state.is !== 'looking' && state.is !== 'moving')) continue;
    if (state.is === 'looking') looking += 1;
    const what = JSON.stringify({ state, past, event, actions });
    const isWanted = state.commit !== 'moved' && !past.givenBack;
    t.deepEqual(actions, isWanted ? [{ do: 'continue-target' }] : [], what);
    t.deepEqual(step(step(state, moved).state, moved).actions, [], what);
  }
  t.true(looking > 10, `${looking}`);
});

test('a VM that stands in doubt is waited for as long as the destination engine could say that it has moved', (t) => {
  const toDoubt = [
    { type: 'may-move' },
    { type: 'committed' },
    { type: 'migration-ended', succeeded: false },
    { type: 'looked', source: 'ended', destination: 'paused' },
  ] as const;
  const after = (...events: readonly CourseEvent[]): ReturnType<typeof step> =>
    [...toDoubt, ...events].reduce<ReturnType<typeof step>>((last, event) => step(last.state, event), {
      state: moving,
      actions: [],
    });
  const looked = { type: 'looked', source: 'ended', destination: 'running' } as const;
  t.deepEqual(after().actions, [{ do: 'limit-doubt' }]);
  t.deepEqual(after({ type: 'moved' }).actions, [{ do: 'continue-target' }]);
  t.deepEqual(after({ type: 'moved' }, { type: 'doubt-limit' }).actions, [{ do: 'look' }]);
  const alone = [{ type: 'moved' }, { type: 'source-free' }, { type: 'started' }] as const;
  t.deepEqual(after(...alone).actions, [{ do: 'look' }]);
  t.like(after(...alone, looked).state, { is: 'over', outcome: 'migrated' });
  t.like(after({ type: 'moved' }, { type: 'doubt-limit' }, looked).state, {
    is: 'over',
    outcome: 'incomplete',
  });
  t.like(after({ type: 'doubt-limit' }).state, { is: 'over', outcome: 'in-doubt' });
  const ended = { type: 'engine-ended', role: 'destination', silent: true } as const;
  t.deepEqual(after(ended).actions, [{ do: 'look' }]);
  t.like(after(ended, toDoubt[3]).state, { is: 'over', outcome: 'in-doubt' });
  // A VM that runs at the source, or was never told to move, is waited for by nobody.
  const running = { type: 'looked', source: 'running', destination: 'unknown' } as const;
  t.is(step(after().state, running).state.is, 'over');
  let { state } = step(moving, { type: 'committed' });
  for (const event of toDoubt.slice(2)) ({ state } = step(state, event));
  t.like(state, { is: 'over', outcome: 'in-doubt' });
});

test('an early move of which no engine has said a word is never taken for a whole one', (t) => {
  for (const source of ['paused', 'unknown'] as const)
    for (const heard of [[], [{ type: 'committed' }], [{ type: 'in-doubt' }]] as const) {
      let { state } = step(moving, { type: 'may-move' });
      for (const event of heard) ({ state } = step(state, event));
      ({ state } = step(state, { type: 'migration-ended', succeeded: false }));
      t.like(step(state, { type: 'looked', source, destination: 'running' }).state, {
        is: 'over',
        outcome: 'incomplete',
      });
    }
});

test('a source that is lost when all that is missing lies on storage: the last word is the destination engine’s', (t) => {
  const after = (...events: readonly CourseEvent[]): ReturnType<typeof step> =>
    events.reduce<ReturnType<typeof step>>((last, event) => step(last.state, event), {
      state: moving,
      actions: [],
    });
  const lost = [
    { type: 'moved' },
    { type: 'source-free' },
    { type: 'migration-ended', succeeded: false },
    { type: 'looked', source: 'unknown', destination: 'running' },
  ] as const;
  t.is(after(...lost).state.is, 'looking');
  t.deepEqual(after(...lost).actions, []);
  const looked = { type: 'looked', source: 'unknown', destination: 'running' } as const;
  t.deepEqual(after(...lost, { type: 'started' }).actions, [{ do: 'look' }]);
  t.like(after(...lost, { type: 'started' }, looked).state, { is: 'over', outcome: 'migrated' });
  for (const last of [
    { type: 'engine-ended', role: 'destination', silent: true },
    { type: 'source-needed' },
  ] as const) {
    t.deepEqual(after(...lost, last).actions, [{ do: 'look' }]);
    t.like(after(...lost, last, looked).state, { is: 'over', outcome: 'incomplete' });
  }
  t.like(after(...lost, { type: 'incomplete', role: 'destination' }).state, {
    is: 'over',
    outcome: 'incomplete',
  });
  // Its engine lives, and holds its QEMU: nothing ends by itself.
  const left = [{ type: 'moved' }, { type: 'source-free' }, { type: 'incomplete', role: 'source' }] as const;
  t.is(after(...left).state.is, 'moving');
  t.deepEqual(after(...left, { type: 'started' }).actions, [{ do: 'look' }]);
  t.deepEqual(after(...left, { type: 'engine-ended', role: 'destination', silent: true }).actions, [
    { do: 'look' },
  ]);
  t.like(
    after(...left, { type: 'started' }, { type: 'looked', source: 'paused', destination: 'running' }).state,
    { is: 'over', outcome: 'migrated' },
  );
});

test('nothing is waited for that the destination engine has said, or that it cannot say any more', (t) => {
  let waits = 0;
  for (const { state, event, next, actions } of everyStep()) {
    if (next.is !== 'looking' || !next.waits) continue;
    waits += 1;
    const what = JSON.stringify({ state, event, next, actions });
    t.is(next.rest, 'on-storage', what);
    for (const last of [
      { type: 'started' },
      { type: 'engine-ended', role: 'destination', silent: true },
      { type: 'incomplete', role: 'destination' },
    ] as const) {
      const after = step(next, last);
      t.true(after.state.is === 'over' || after.actions.some((action) => action.do === 'look'), what);
    }
  }
  t.true(waits > 10, `${waits}`);
});
