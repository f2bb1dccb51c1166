/** What a migration does with its engines when a host is slow, lost, or does nothing: hosts and driver are played. */
import { mock } from 'node:test';
import test from 'ava';
import { CodedError } from '../foundation/coded-error.ts';
import type { VmState } from './course.ts';
import type { Following, OperatedHost } from './host.ts';
import type { Reporter } from './report.ts';
import { type Driver, runMigration } from './run-migration.ts';

/** Lines of an engine, which end when it is told to. */
class EngineLines implements Following {
  readonly #waiting: string[] = [];
  #wake: () => void = () => undefined;
  #over = false;

  say(event: object): void {
    this.#waiting.push(JSON.stringify(event));
    this.#wake();
  }

  stop(): void {
    this.#over = true;
    this.#wake();
  }

  readonly end = Promise.resolve('ended' as const);

  get lines(): AsyncIterable<string> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<string> {
    for (;;) {
      const line = this.#waiting.shift();
      if (line !== undefined) yield line;
      else if (this.#over) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

class PlayedHost {
  readonly name: string;
  readonly engine = new EngineLines();
  readonly done: string[] = [];
  /** What comes of a script; default: nothing. */
  on: (what: string) => Promise<void> = () => Promise.resolve();

  constructor(name: string) {
    this.name = name;
  }

  async run(script: string): Promise<string> {
    const what = /systemd-run/.test(script) ? 'launch' : (/kill -(TERM|USR1)/.exec(script)?.[1] ?? 'other');
    if (what !== 'launch') this.done.push(what);
    await this.on(what);
    if (what === 'launch') this.done.push(what);
    if (what === 'TERM') this.engine.stop();
    return '';
  }

  follow(): Following {
    return this.engine;
  }

  get host(): OperatedHost {
    return this as unknown as OperatedHost;
  }
}

interface Played {
  readonly source: PlayedHost;
  readonly destination: PlayedHost;
  readonly notes: string[];
  interrupt(): void;
}

function play(
  driver: Partial<Driver>,
  method: 'balance' | 'resume' = 'balance',
  compare?: () => void,
  resumed = Promise.resolve(),
) {
  const [source, destination] = [new PlayedHost('src'), new PlayedHost('dst')];
  const notes: string[] = [];
  let interrupt: () => void = () => undefined;
  const reporter: Reporter = {
    findings: () => undefined,
    note: (text) => notes.push(text),
    progress: () => undefined,
    end: () => undefined,
  };
  const running = () =>
    runMigration({
      ...{ id: 'vm1-0a', vm: 'vm1', method, key: 'ab', reporter },
      hosts: { source: source.host, destination: destination.host },
      engines: { source: 'engine', destination: 'engine' },
      driver: {
        migrate: () => Promise.resolve({ succeeded: false, says: 'failed' }),
        abort: () => Promise.resolve(),
        look: () => Promise.resolve({ source: 'running', destination: 'absent' }),
        job: () => Promise.resolve(undefined),
        completed: () => Promise.resolve(undefined),
        ...driver,
      },
      onInterrupt: (listener) => (interrupt = listener),
      ...(compare === undefined
        ? {}
        : {
            verification: {
              hold: () => Promise.resolve(),
              compare: () => {
                compare();
                return Promise.resolve(true);
              },
              resume: () => resumed,
              release: () => Promise.resolve(),
            },
          }),
    });
  const played: Played = {
    source,
    destination,
    notes,
    interrupt: () => {
      interrupt();
    },
  };
  return { ...played, running };
}

const untilListening = ({ source, destination }: Played): void => {
  for (const host of [source, destination])
    host.on = (what) => {
      if (what === 'launch') host.engine.say({ event: 'listening' });
      return Promise.resolve();
    };
};

test('Ctrl-C while an engine is being started: it is ended before the command ends', async (t) => {
  const played = play({});
  played.destination.on = async (what) => {
    if (what !== 'launch') return;
    await new Promise(setImmediate);
    played.interrupt();
    await new Promise((resolve) => setTimeout(resolve, 100));
  };
  const { outcome } = await played.running();
  t.is(outcome, 'cancelled');
  t.deepEqual(
    played.destination.done.filter((what) => what !== 'other'),
    ['launch', 'TERM'],
  );
});

test.serial('an engine that was started and says nothing is named, and given up', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const played = play({});
    const ended = played.running();
    const pass = async (ms: number): Promise<void> => {
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
      mock.timers.tick(ms);
    };
    await pass(10_000);
    await pass(0);
    t.deepEqual(played.notes, ['waiting for the destination engine on dst to begin: 10 s of at most 120']);
    await pass(110_000);
    const { outcome, reasons } = await ended;
    t.is(outcome, 'failed');
    t.deepEqual(reasons, ['the destination engine on dst was started and has said nothing for 120 s']);
    t.true(played.destination.done.includes('TERM'));
  } finally {
    mock.timers.reset();
  }
});

test('an engine whose host was too slow to say that it runs is told to end', async (t) => {
  const played = play({});
  played.destination.on = (what) =>
    what === 'launch'
      ? Promise.reject(new CodedError('host', 'timeout', 'dst does not answer within 30 s'))
      : Promise.resolve();
  const { outcome, reasons } = await played.running();
  t.is(outcome, 'failed');
  t.true(played.destination.done.includes('TERM'));
  t.deepEqual(reasons, ['destination engine: dst does not answer within 30 s']);
});

/** Neither host runs the VM when the source engine's lines have ended. */
async function pausedAfter(
  ...said: readonly object[]
): Promise<{ readonly outcome: string; readonly reasons: readonly string[] }> {
  const played = play({
    look: () => Promise.resolve({ source: 'paused', destination: 'paused' }),
    migrate: async () => {
      for (const event of [{ event: 'qemu-connected' }, ...said]) played.source.engine.say(event);
      played.source.engine.stop();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { succeeded: false, says: 'lost' };
    },
  });
  untilListening(played);
  return played.running();
}

test('a source engine that goes without a word may have committed: nobody is told to continue the VM here', async (t) => {
  const silent = await pausedAfter();
  t.is(silent.outcome, 'in-doubt');
  const killed = /^source engine: it was killed, or src is lost; .*\/source\.errors there/;
  t.true(silent.reasons.some((reason) => killed.test(reason)));
  const said = await pausedAfter({ event: 'failed', reason: 'x' });
  t.is(said.outcome, 'failed-paused');
  t.false(said.reasons.some((reason) => killed.test(reason)));
});

test('a target that waits with all of a VM that runs on at the source is to be ended', async (t) => {
  const lookedAt = async (destination: VmState): Promise<string> => {
    const played = play({ look: () => Promise.resolve({ source: 'running', destination }) });
    untilListening(played);
    const { outcome, reasons } = await played.running();
    t.is(outcome, 'failed');
    return reasons.join('; ');
  };
  t.regex(await lookedAt('paused'), /dst has vm1 as well, which waits there: end it, and never continue it/);
  t.regex(await lookedAt('unknown'), /dst did not answer/);
  t.is(await lookedAt('absent'), 'failed');
});

test('Ctrl-C while memory is compared is answered', async (t) => {
  const played = play(
    {
      migrate: () => Promise.resolve({ succeeded: true, says: '' }),
      look: () => Promise.resolve({ source: 'absent', destination: 'paused' }),
    },
    'balance',
    () => {
      played.interrupt();
    },
  );
  untilListening(played);
  t.like(await played.running(), { outcome: 'migrated', ram: 'equal' });
  t.regex(played.notes.at(-1) ?? '', /not aborted: .* once its memory was compared/);
});

test('memory that is equal, of a VM that could not be resumed, is said to be equal, with the reason', async (t) => {
  const resumed: Promise<void> = Promise.reject(new Error('virsh: no connection'));
  resumed.catch(() => undefined);
  const played = play(
    {
      migrate: () => Promise.resolve({ succeeded: true, says: '' }),
      look: () => Promise.resolve({ source: 'absent', destination: 'paused' }),
    },
    'balance',
    () => undefined,
    resumed,
  );
  untilListening(played);
  const summary = await played.running();
  t.like(summary, { outcome: 'migrated', ram: 'equal-suspended' });
  t.true(summary.reasons.includes('memory: virsh: no connection'));
});

test('what an engine waits for is said, once', async (t) => {
  const wait = { event: 'waiting-for', what: 'storage', seconds: 20, limit_seconds: 300 };
  const played = play({
    migrate: async () => {
      for (const host of [played.source, played.destination]) host.engine.say(wait);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { succeeded: true, says: '' };
    },
    look: () => Promise.resolve({ source: 'absent', destination: 'running' }),
  });
  untilListening(played);
  t.like(await played.running(), { outcome: 'migrated' });
  t.deepEqual(played.notes, ['waiting for storage: 20 s of at most 300']);
});

test('nobody can be asked, and no QEMU has come to an engine: the engines are ended', async (t) => {
  const unknown = { source: 'unknown', destination: 'unknown' } as const satisfies Record<string, VmState>;
  const played = play({ look: () => Promise.resolve(unknown) });
  untilListening(played);
  const { outcome } = await played.running();
  t.is(outcome, 'in-doubt');
  for (const host of [played.source, played.destination]) t.true(host.done.includes('TERM'), host.name);
});

test('in doubt, and QEMU has come to an engine: no engine is touched, and what the target has is told', async (t) => {
  const unknown = { source: 'unknown', destination: 'unknown' } as const satisfies Record<string, VmState>;
  for (const started of [false, true]) {
    const played = play({
      look: () => Promise.resolve(unknown),
      migrate: async () => {
        played.source.engine.say({ event: 'qemu-connected' });
        if (started) played.destination.engine.say({ event: 'started' });
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { succeeded: false, says: 'lost' };
      },
    });
    untilListening(played);
    const { outcome, reasons } = await played.running();
    t.is(outcome, 'in-doubt');
    for (const host of [played.source, played.destination]) t.false(host.done.includes('TERM'), host.name);
    t.is(
      reasons.some((reason) => reason.includes('the target has all of vm1')),
      started,
    );
  }
});

/** An early resume whose source engine says that the VM may move, and ends when it is told to. */
function playMove(lostWords: number) {
  const ended = Promise.withResolvers<undefined>();
  let stopped = 0;
  let aborted = 0;
  let runs = true;
  const played = play(
    {
      migrate: async () => {
        played.source.engine.say({ event: 'qemu-connected' });
        played.source.engine.say({ event: 'may-move' });
        await ended.promise;
        return { succeeded: false, says: 'QEMU: the engine has ended' };
      },
      abort: () => {
        aborted += 1;
        return Promise.reject(new Error('QEMU does not cancel it'));
      },
      look: () => Promise.resolve({ source: runs ? 'running' : 'paused', destination: 'absent' }),
      early: {
        stopForMove: () => {
          stopped += 1;
          runs = false;
          return Promise.resolve();
        },
        continueTarget: () => Promise.resolve(performance.now()),
        giveBack: () => {
          runs = true;
          return Promise.resolve();
        },
      },
    },
    'resume',
  );
  untilListening(played);
  const launching = played.source.on;
  let words = 0;
  played.source.on = async (what) => {
    await launching(what);
    if (what === 'USR1') {
      words += 1;
      if (words <= lostWords) throw new CodedError('host', 'unreachable', 'src cannot be reached by ssh');
      ended.resolve(undefined);
    }
    if (what === 'TERM') ended.resolve(undefined);
  };
  return { ...played, counts: () => ({ words, stopped, aborted, runs }) };
}

test('a word to move that is lost once is said again', async (t) => {
  const played = playMove(1);
  await played.running();
  t.like(played.counts(), { words: 2, stopped: 1 });
});

test('a VM that stands, and whose engine cannot be told, is given back: the engine ends it, whatever QEMU cancels', async (t) => {
  const played = playMove(Number.POSITIVE_INFINITY);
  const { outcome, reasons } = await played.running();
  t.is(outcome, 'failed');
  t.true(played.source.done.includes('TERM'));
  t.like(played.counts(), { words: 3, stopped: 1, aborted: 0, runs: true });
  t.true(reasons.some((reason) => reason.startsWith('the VM was not moved: src cannot be reached')));
  t.true(played.notes.some((note) => note.includes('aborting')));
});

test('a VM that has moved does not stand where QEMU at the source ended in the middle of it', async (t) => {
  const order: string[] = [];
  const told = Promise.withResolvers<undefined>();
  const played = play(
    {
      migrate: async () => {
        for (const event of ['qemu-connected', 'may-move']) played.source.engine.say({ event });
        await told.promise;
        return { succeeded: false, says: 'QEMU: the connection to QEMU ended' };
      },
      look: async () => {
        order.push('looked');
        played.destination.engine.say({ event: 'moved' });
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { source: 'ended', destination: 'paused' };
      },
      early: {
        stopForMove: () => Promise.resolve(),
        continueTarget: async () => {
          // As a QEMU far away takes its time.
          await new Promise((resolve) => setTimeout(resolve, 100));
          order.push('continued');
          return performance.now();
        },
        giveBack: () => Promise.resolve(),
      },
    },
    'resume',
  );
  untilListening(played);
  const launching = played.source.on;
  played.source.on = async (what) => {
    await launching(what);
    if (what === 'USR1') told.resolve(undefined);
  };
  t.like(await played.running(), { outcome: 'incomplete' });
  t.deepEqual(order, ['looked', 'continued']);
});
