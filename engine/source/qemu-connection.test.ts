import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { CodedError } from '../../foundation/coded-error.ts';
import { readFixture } from '../stream/testing/fixtures.ts';
import { QemuConnection } from './qemu-connection.ts';
import { prepareSocketFolder } from './socket-file.ts';

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(path.join(tmpdir(), 'poolshift-socket-'));
  t.teardown(() => {
    rmSync(made, { recursive: true, force: true });
  });
  return made;
}

interface Listener {
  readonly connection: QemuConnection;
  /** The error that it failed with, if it does not listen. */
  readonly outcome: Promise<CodedError<'source'> | undefined>;
  readonly failed: Promise<CodedError<'source'>>;
  readonly connected: Promise<void>;
  readonly received: () => Buffer;
}

function listen(t: ExecutionContext, socketPath: string, further?: (chunk: Buffer) => void): Listener {
  const outcome = Promise.withResolvers<CodedError<'source'> | undefined>();
  const failed = Promise.withResolvers<CodedError<'source'>>();
  const connected = Promise.withResolvers<undefined>();
  const chunks: Buffer[] = [];
  const connection = new QemuConnection(socketPath, {
    listening: () => {
      outcome.resolve(undefined);
    },
    connected: () => {
      connected.resolve(undefined);
    },
    chunk: (chunk) => {
      chunks.push(Buffer.from(chunk));
      return true;
    },
    closed: () => undefined,
    further: () => further,
    failed: (error) => {
      outcome.resolve(error);
      failed.resolve(error);
    },
  });
  connection.listen();
  t.teardown(() => {
    connection.stopListening();
    connection.destroy();
  });
  return {
    connection,
    outcome: outcome.promise,
    failed: failed.promise,
    connected: connected.promise,
    received: () => Buffer.concat(chunks),
  };
}

function connectTo(t: ExecutionContext, socketPath: string): Socket {
  const socket = connect(socketPath).on('error', () => undefined);
  t.teardown(() => {
    socket.destroy();
  });
  return socket;
}

const inTheWay: Readonly<Record<string, (at: string) => void>> = {
  'a file': (at) => {
    writeFileSync(at, 'precious');
  },
  'a folder': (at) => {
    mkdirSync(at);
  },
  'a link to a file': (at) => {
    writeFileSync(`${at}.disk`, 'precious');
    symlinkSync(`${at}.disk`, at);
  },
  'a link to nothing': (at) => {
    symlinkSync('/nowhere/at/all', at);
  },
};

for (const [what, make] of Object.entries(inTheWay)) {
  test(`${what} in the socket's place stays, and is named`, async (t) => {
    const inside = folder(t);
    const at = path.join(inside, 'disk.img');
    make(at);
    const before = [readdirSync(inside), lstatSync(at).ino];
    const { outcome, connection } = listen(t, at);
    const error = await outcome;
    t.is(error?.code, 'socket-path');
    t.regex(error?.message ?? '', /disk\.img exists and is not a socket; nothing was changed/);
    connection.stopListening();
    t.deepEqual([readdirSync(inside), lstatSync(at).ino], before);
    if (existsSync(`${at}.disk`)) t.is(readFileSync(`${at}.disk`, 'utf8'), 'precious');
  });
}

test("a running program's socket is not taken, and that program goes on", async (t) => {
  const at = path.join(folder(t), 'socket');
  const first = listen(t, at);
  t.is(await first.outcome, undefined);
  const { ino } = lstatSync(at);
  const second = listen(t, at);
  t.regex((await second.outcome)?.message ?? '', /another program listens on .*socket: end it/);
  second.connection.stopListening();
  t.is(lstatSync(at).ino, ino);
  // Whoever looked is not taken for QEMU.
  const qemu = connectTo(t, at);
  qemu.write('QEVM');
  await first.connected;
  // Nor is the path free while the migration runs.
  t.regex((await listen(t, at).outcome)?.message ?? '', /another program listens/);
});

test('a socket that nobody listens on any more is replaced', async (t) => {
  const at = path.join(folder(t), 'socket');
  const script = `require('net').createServer().listen(process.argv[1], () => console.log('listens'))`;
  const killed = spawn(process.execPath, ['-e', script, at], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(killed.stdout, 'data');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  t.true(lstatSync(at).isSocket());
  const { outcome, connection } = listen(t, at);
  t.is(await outcome, undefined);
  t.deepEqual(readdirSync(path.dirname(at)), ['socket']);
  connection.stopListening();
  t.false(existsSync(at));
});

test("another's socket in our place is not removed at the end", async (t) => {
  const at = path.join(folder(t), 'socket');
  const { outcome, connection } = listen(t, at);
  t.is(await outcome, undefined);
  rmSync(at);
  const other = createServer().listen(at);
  await once(other, 'listening');
  t.teardown(() => other.close());
  connection.stopListening();
  await once(connectTo(t, at), 'connect');
  t.pass();
});

// umask is the process's: one after another.
test.serial('the socket and its folder are their owner’s alone, whatever the umask', async (t) => {
  const outer = folder(t);
  const at = path.join(outer, 'new', 'socket');
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  t.deepEqual(prepareSocketFolder(at), { writableByOthers: false });
  const { outcome } = listen(t, at);
  t.is(await outcome, undefined);
  t.is(lstatSync(at).mode & 0o777, 0o600);
  t.is(lstatSync(path.dirname(at)).mode & 0o777, 0o700);
  // The umask of the process is as it was.
  t.is(process.umask(0), 0);
  for (const mode of [0o770, 0o1777, 0o702]) {
    chmodSync(outer, mode);
    t.true(prepareSocketFolder(path.join(outer, 'socket')).writableByOthers);
  }
});

test('a path that no socket can have is refused before anything is made', (t) => {
  const inside = folder(t);
  const at = path.join(inside, 'x'.repeat(200), 's');
  t.throws(() => prepareSocketFolder(at), { code: 'socket-path', message: /bytes too long/ });
  t.deepEqual(readdirSync(inside), []);
  writeFileSync(path.join(inside, 'file'), '');
  t.throws(() => prepareSocketFolder(path.join(inside, 'file', 's')), { code: 'socket-path' });
});

for (const order of ['after', 'before'] as const) {
  test(`a connection of multifd, ${order} the main one, is named with its remedy`, async (t) => {
    const at = path.join(folder(t), 'socket');
    const { outcome, failed, received } = listen(t, at);
    t.is(await outcome, undefined);
    const stream = readFixture('qemu-10.0-multifd').subarray(0, 100);
    const main = connectTo(t, at);
    const further = connectTo(t, at);
    if (order === 'after') {
      main.write(stream);
      while (received().length < stream.length) await new Promise(setImmediate);
    }
    further.write(readFixture('qemu-10.0-multifd.channel-1'));
    const error = await failed;
    t.is(error.code, 'multifd');
    t.regex(error.message, /switch it off with .*"capability": "multifd", "state": false/);
  });
}

test('what a further connection sends never reaches the stream', async (t) => {
  const at = path.join(folder(t), 'socket');
  const { outcome, connected, received } = listen(t, at);
  t.is(await outcome, undefined);
  const main = connectTo(t, at);
  main.write('QEVM');
  await connected;
  const further = connectTo(t, at);
  const closed = new Promise((resolve) => further.once('close', resolve));
  further.write('QEVM, and much else');
  await closed;
  main.write(' goes on');
  while (received().length < 12) await new Promise(setImmediate);
  t.is(received().toString(), 'QEVM goes on');
});

test('connections that say nothing do not keep QEMU out', async (t) => {
  const at = path.join(folder(t), 'socket');
  const { outcome, connected } = listen(t, at);
  t.is(await outcome, undefined);
  for (let i = 0; i < 3; i++) await once(connectTo(t, at), 'connect');
  connectTo(t, at).write('QEVM');
  await connected;
  t.pass();
});

test('in early resume a second connection is kept though it is silent, and is told apart', async (t) => {
  const at = path.join(folder(t), 'qemu');
  let further = '';
  const { outcome, connected, received } = listen(t, at, (chunk) => (further += chunk.toString()));
  await outcome;
  const first = connectTo(t, at);
  first.write('stream');
  await connected;
  const second = connectTo(t, at);
  await once(second, 'connect');
  first.write(' and more');
  second.write('page');
  while (further !== 'page' || received().toString() !== 'stream and more')
    await new Promise((resolve) => setTimeout(resolve, 5));
  second.end();
  await once(second, 'close');
  t.false(first.destroyed);
});

test('in early resume, too, a connection of multifd is refused with what to change', async (t) => {
  const at = path.join(folder(t), 'qemu');
  const { outcome, connected, failed } = listen(t, at, () => t.fail());
  await outcome;
  connectTo(t, at).write('stream');
  await connected;
  connectTo(t, at).write(readFixture('qemu-10.0-multifd.channel-1'));
  t.is((await failed).code, 'multifd');
});

test('what a target says to a QEMU that does not read is kept up to a limit, which is said', async (t) => {
  const at = path.join(folder(t), 'qemu');
  const { outcome, connected, connection } = listen(t, at);
  await outcome;
  const qemu = connectTo(t, at);
  qemu.pause();
  qemu.write('stream');
  await connected;
  const requests = Buffer.alloc(64 * 1024);
  let written = 0;
  t.throws(
    () => {
      for (; written < 2 ** 28; written += requests.length) connection.write(requests);
    },
    { code: 'return-path', message: /more on the return path than QEMU takes/ },
  );
  t.true(written < 8 * 1024 * 1024, `${written}`);
  // What is on its way arrives, and the last word behind it.
  const received: Buffer[] = [];
  qemu.on('data', (chunk: Buffer) => received.push(chunk)).resume();
  connection.end(Buffer.from('last'));
  await once(qemu, 'end');
  const all = Buffer.concat(received);
  t.is(all.length, written + 4);
  t.is(all.toString('latin1', written), 'last');
});
