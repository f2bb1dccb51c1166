/** A QEMU to which the way is lost, played over sockets of this machine. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { mock } from 'node:test';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../foundation/coded-error.ts';
import { connectTo, Monitor } from './monitor.ts';
import { serveQmp } from './qmp-server.fixture.ts';

/** What is at the far end of a way: a QEMU that says where it is in its migration. */
class PlayedQemu {
  readonly told: string[] = [];
  /** Commands that are heard, and whose answer is lost with the way. */
  readonly swallows = new Set<string>();
  /** Those that it does not answer. */
  readonly hangs = new Set<string>();
  readonly #sockets = new Set<Socket>();
  #pid = 17;
  #ways = 0;
  readonly #servers: Server[] = [];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The host is not reached for so many attempts. */
  lostFor = 0;

  get host() {
    return {
      name: 'src',
      run: (): Promise<string> => {
        if (this.lostFor > 0) {
          this.lostFor -= 1;
          return Promise.reject(new CodedError('host', 'unreachable', 'gone'));
        }
        return Promise.resolve(this.#pid === 0 ? '' : `${this.#pid} root`);
      },
      forwardSocket: async (_remote: string, name: string) => {
        const way = path.join(this.#folder, name);
        this.#ways += 1;
        const server = createServer((socket) => {
          this.#serve(socket);
        });
        this.#servers.push(server);
        await new Promise<void>((resolve) => server.listen(way, resolve));
        return { path: way, stop: () => Promise.resolve() };
      },
    };
  }

  get ways(): number {
    return this.#ways;
  }

  end(): void {
    this.#pid = 0;
    this.loseWay();
  }

  anotherTakesItsPlace(): void {
    this.#pid += 1;
  }

  loseWay(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  say(event: string): void {
    const message = { event, data: { status: 'completed' }, timestamp: { seconds: 1, microseconds: 0 } };
    for (const socket of this.#sockets) socket.write(`${JSON.stringify(message)}\n`);
  }

  close(): void {
    this.loseWay();
    for (const server of this.#servers) server.close();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    serveQmp(socket, (execute) => {
      if (execute !== 'qmp_capabilities') this.told.push(execute);
      if (this.hangs.has(execute)) return undefined;
      if (!this.swallows.delete(execute)) return { status: 'completed' };
      this.loseWay();
      return undefined;
    });
  }
}

async function play(t: ExecutionContext): Promise<{
  readonly qemu: PlayedQemu;
  readonly monitor: Monitor;
  readonly notes: readonly string[];
}> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-monitor-'));
  const qemu = new PlayedQemu(folder);
  const notes: string[] = [];
  const monitor = await Monitor.open(qemu.host, '/run/a.qmp', 'qemu-0', { note: (text) => notes.push(text) });
  t.teardown(async () => {
    monitor.close();
    qemu.close();
    await rm(folder, { recursive: true });
  });
  return { qemu, monitor, notes };
}

test('what may be said twice is said again over a new way, by all who wait', async (t) => {
  const { qemu, monitor } = await play(t);
  qemu.swallows.add('query-migrate');
  qemu.lostFor = 2;
  const answers = await Promise.all([monitor.execute('query-migrate'), monitor.execute('query-migrate')]);
  for (const answer of answers) t.like(answer, { status: 'completed' });
  t.is(qemu.ways, 2);
  for (const command of ['cont', 'migrate-start-postcopy', 'migrate_cancel'] as const) {
    qemu.swallows.add(command);
    await monitor.execute(command);
    t.deepEqual(
      qemu.told.filter((told) => told === command),
      [command, command],
    );
  }
  t.is(qemu.ways, 5);
});

test('events are heard over the new way, too', async (t) => {
  const { qemu, monitor } = await play(t);
  const heard: string[] = [];
  const stop = monitor.onEvent(({ name }) => heard.push(name));
  qemu.loseWay();
  await monitor.execute('cont');
  qemu.say('MIGRATION');
  await monitor.execute('cont');
  stop();
  qemu.say('STOP');
  await monitor.execute('cont');
  t.deepEqual(heard, ['MIGRATION']);
});

test('what must not be said twice is not', async (t) => {
  const { qemu, monitor } = await play(t);
  qemu.swallows.add('migrate');
  await t.throwsAsync(monitor.execute('migrate', { uri: 'unix:/a' }), {
    code: 'connection-lost',
    message: /^\/run\/a\.qmp on src: migrate: the connection/,
  });
  t.deepEqual(qemu.told, ['migrate']);
});

test('that its process has ended is known where its host answers', async (t) => {
  const { qemu, monitor } = await play(t);
  t.false(await monitor.hasEnded());
  qemu.end();
  qemu.lostFor = 1;
  t.false(await monitor.hasEnded());
  t.true(await monitor.hasEnded());
  t.deepEqual(
    await Promise.all([monitor, monitor].map((one) => one.execute('query-status').catch(() => 'lost'))),
    ['lost', 'lost'],
  );
});

test('another QEMU that has taken its place is told nothing', async (t) => {
  const { qemu, monitor } = await play(t);
  qemu.anotherTakesItsPlace();
  qemu.swallows.add('cont');
  await t.throwsAsync(monitor.execute('cont'), { message: /connection/ });
  t.deepEqual(qemu.told, ['cont']);
});

test('a QEMU that has ended and left its socket is not waited for', async (t) => {
  const host = {
    name: 'src',
    run: () => Promise.resolve(''),
    forwardSocket: () => Promise.resolve({ path: '/nonexistent/a.qmp', stop: () => Promise.resolve() }),
  };
  await t.throwsAsync(Monitor.open(host, '/run/a.qmp', 'qemu-0', { note: () => undefined }), {
    code: 'connect-failed',
    message: /^QEMU does not answer at \/run\/a\.qmp on src, and is not there/,
  });
});

test('where nobody can tell whether it is there, it is waited for', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-monitor-'));
  const way = path.join(folder, 'a');
  const server = createServer((socket) => {
    serveQmp(socket, () => ({}));
  });
  t.teardown(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  let asked = 0;
  const host = {
    name: 'src',
    run: () => {
      asked += 1;
      if (asked === 1) server.listen(way);
      return Promise.reject(new CodedError('host', 'command-failed', 'sudo: a password is required'));
    },
  };
  (await connectTo(host, '/run/a.qmp', way)).close();
  t.true(asked > 0);
});

test.serial('a QEMU that does not answer is named', async (t) => {
  const { qemu, monitor, notes } = await play(t);
  qemu.hangs.add('query-migrate');
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const lost = t.throwsAsync(monitor.execute('query-migrate', {}, { timeoutMs: 20_000 }), {
      code: 'timeout',
    });
    mock.timers.tick(10_000);
    t.deepEqual(notes, ['waiting for the QEMU of /run/a.qmp on src to answer query-migrate: 10 s']);
    mock.timers.tick(10_000);
    await lost;
  } finally {
    mock.timers.reset();
  }
});
