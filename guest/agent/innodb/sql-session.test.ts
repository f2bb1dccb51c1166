/** The real servers are in guest/lab/agent-on-servers.lab.test.ts; these are processes that only call themselves so. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { GuestError } from '../guest-error.ts';
import { findProcesses } from '../processes.ts';
import { isOutsideContainers, parseCredentials } from './dirty-pages.ts';
import { SqlSession } from './sql-session.ts';

function packet(sequence: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header.writeUInt8(sequence, 3);
  return Buffer.concat([header, payload]);
}

const greeting = packet(
  0,
  Buffer.concat([
    Buffer.from([10]),
    Buffer.from('9.9.9\0'),
    Buffer.alloc(4),
    Buffer.alloc(8, 'a'),
    Buffer.alloc(19),
    Buffer.alloc(13, 'b'),
    Buffer.from('caching_sha2_password\0'),
  ]),
);
const ok = (sequence: number): Buffer => packet(sequence, Buffer.alloc(7));

async function serve(t: ExecutionContext, talk: (socket: Socket, received: Buffer) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'sql-'));
  const path = join(folder, 's');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (received: Buffer) => {
      talk(socket, received);
    });
    socket.write(greeting);
  }).listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return path;
}

const root = { user: 'root', password: '' };

test('a server that asks for a file gets none', async (t) => {
  const said: Buffer[] = [];
  const path = await serve(t, (socket, received) => {
    said.push(received);
    if (said.length === 1) socket.write(ok(2));
    else socket.write(packet(1, Buffer.from('\xfb/etc/passwd', 'latin1')));
  });
  const session = await SqlSession.open(connect(path), root, 10_000);
  const error = await t.throwsAsync<GuestError>(session.query('SELECT 1'));
  t.is(error.code, 'clean-failed');
  session.close();
  // The log-in, which does not offer files (CLIENT_LOCAL_FILES, 0x80), and the statement.
  t.is((said[0]?.readUInt32LE(4) ?? 0x80) & 0x80, 0);
  t.is(said[1]?.subarray(5).toString(), 'SELECT 1');
  t.is(said.length, 2);
});

test('a server that says nothing, too much, or something else ends the session', async (t) => {
  const silent = await serve(t, () => undefined);
  await t.throwsAsync(SqlSession.open(connect(silent), root, 50), {
    instanceOf: GuestError,
    message: /within 50 ms/,
  });
  const endless = await serve(t, (socket) => socket.write(Buffer.alloc(1_000_000, 1)));
  await t.throwsAsync(SqlSession.open(connect(endless), root, 10_000), { instanceOf: GuestError });
  const turns = await serve(t, (socket) => socket.write(packet(2, Buffer.from([1, 3]))));
  await t.throwsAsync(SqlSession.open(connect(turns), root, 200), { instanceOf: GuestError });
  await t.throwsAsync(SqlSession.open(connect('/nowhere/s'), root, 10_000), { instanceOf: GuestError });
});

test('credentials as they stand in their file', (t) => {
  t.deepEqual(parseCredentials('[client]\nuser = poolshift\npassword = a b=c\n'), {
    user: 'poolshift',
    password: 'a b=c',
  });
  t.deepEqual(parseCredentials(''), root);
});

test('a process in a pid namespace of its own is not of this system', async (t) => {
  t.true(isOutsideContainers(process.pid));
  t.false(isOutsideContainers(2 ** 22 + 1));
  const container = spawn('unshare', ['--user', '--pid', '--fork', '--kill-child', 'sleep', '60']);
  t.teardown(() => container.kill());
  container.on('error', () => undefined);
  let inside: number | undefined;
  while (inside === undefined && container.pid !== undefined && container.exitCode === null) {
    await sleep(20);
    inside = findProcesses(new Set(['sleep'])).find(({ parentPid }) => parentPid === container.pid)?.pid;
  }
  if (inside === undefined) t.log('namespaces cannot be made here');
  else t.false(isOutsideContainers(inside));
});
