/** What the death of a target means that has not read everything: another process, which is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { CodedError } from '../../foundation/coded-error.ts';
import { TargetConnection } from './target-connection.ts';

/** Reads nothing. */
const listens = `
  require('node:net')
    .createServer({ pauseOnConnect: true }, () => console.log('connected'))
    .listen(process.argv[1], () => console.log('listens'));
`;

interface Dying {
  readonly connection: TargetConnection;
  /** Kills the target. */
  readonly kill: () => void;
  readonly end: Promise<{ readonly is: 'failed' | 'silent'; readonly error: CodedError<'destination'> }>;
}

async function dying(t: ExecutionContext): Promise<Dying> {
  t.timeout(60_000);
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-target-'));
  const socket = path.join(folder, 'incoming');
  const target = spawn(process.execPath, ['-e', listens, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(target.stdout, 'data');
  const ended = Promise.withResolvers<Awaited<Dying['end']>>();
  const connection = new TargetConnection(socket, () => true, {
    returnPath: () => undefined,
    pong: () => false,
    request: () => undefined,
    moved: () => undefined,
    room: () => undefined,
    started: () => {
      t.fail('it has said nothing');
    },
    failed: (error) => {
      ended.resolve({ is: 'failed', error });
    },
    endedSilently: (error) => {
      ended.resolve({ is: 'silent', error });
    },
    malformed: (error) => {
      t.fail(String(error));
    },
  });
  t.teardown(() => {
    connection.destroy();
    target.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  await once(target.stdout, 'data');
  return { connection, kill: () => target.kill('SIGKILL'), end: ended.promise };
}

async function delivered({ output }: TargetConnection): Promise<void> {
  while (output.undelivered) await new Promise((resolve) => setTimeout(resolve, 5));
}

function add({ output }: TargetConnection, text: string): void {
  output.add(Buffer.from(text), 0, text.length);
}

test('a target that dies with bytes of its device state unread never runs', async (t) => {
  const { connection, kill, end } = await dying(t);
  connection.output.hold();
  add(connection, 'device state');
  connection.output.release();
  await delivered(connection);
  kill();
  t.like(await end, { is: 'failed', error: { code: 'target-failed' } });
});

test('nor does one with bytes of its package unread', async (t) => {
  const { connection, kill, end } = await dying(t);
  connection.output.hold();
  add(connection, 'package');
  connection.output.endHere();
  connection.output.release();
  await delivered(connection);
  kill();
  t.like(await end, { is: 'failed', error: { code: 'target-failed' } });
});

for (const when of ['held with it', 'that come later'] as const) {
  test(`one that dies with bytes unread may have run where they may be pages behind its package, ${when}`, async (t) => {
    const { connection, kill, end } = await dying(t);
    connection.output.hold();
    add(connection, 'package');
    connection.output.endHere();
    if (when === 'held with it') add(connection, 'page');
    connection.output.release();
    if (when === 'that come later') add(connection, 'page');
    connection.output.flush();
    await delivered(connection);
    kill();
    t.like(await end, { is: 'silent', error: { code: 'target-silent' } });
  });
}

test('nor is it known of one in post-copy that is passed through, where nothing is held', async (t) => {
  const { connection, kill, end } = await dying(t);
  add(connection, 'ram');
  connection.output.flush();
  connection.output.release();
  add(connection, 'package and pages');
  connection.output.flush();
  kill();
  t.like(await end, { is: 'silent', error: { code: 'target-silent' } });
});
