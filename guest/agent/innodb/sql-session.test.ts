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
import { isOutsideContainers, lowerLimits, parseCredentials } from './dirty-pages.ts';
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

/** One column of text a value: what a SELECT or SHOW of the agent's gives. */
function answerOf(...values: readonly string[]): Buffer {
  const row = values.map((value) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]));
  const end = Buffer.from([0xfe, 0, 0, 0, 0]);
  const columns = values.map(() => Buffer.alloc(10));
  const packets = [Buffer.from([values.length]), ...columns, end, Buffer.concat(row), end];
  return Buffer.concat(packets.map((payload, index) => packet(index + 1, payload)));
}

/** A server with limits, which goes away when it is asked how much is dirty, as often as is said. */
async function servePool(
  t: ExecutionContext,
  limits: { percent: string; lowWaterMark: string },
  failures: { left: number; atPuttingBack: number },
): Promise<() => Promise<SqlSession>> {
  const loggedIn = new Set<Socket>();
  const path = await serve(t, (socket, received) => {
    const isLogIn = !loggedIn.has(socket);
    loggedIn.add(socket);
    if (isLogIn) return void socket.write(ok(2));
    const statement = received.subarray(5).toString();
    const set = /_pct = (\S+), .*_lwm = (\S+)$/.exec(statement);
    if (statement.startsWith('SELECT'))
      return void socket.write(answerOf(limits.percent, limits.lowWaterMark));
    if (statement.startsWith('SHOW')) {
      if (failures.left-- > 0) return void socket.destroy();
      return void socket.write(answerOf('Innodb_buffer_pool_pages_dirty', '0'));
    }
    if (set !== null && failures.atPuttingBack-- > 0) return void socket.destroy();
    [, limits.percent = '', limits.lowWaterMark = ''] = set ?? ['', '0.001000', '0.000000'];
    socket.write(ok(1));
  });
  return () => SqlSession.open(connect(path), root, 10_000);
}

test('limits of dirty pages are put back, also when the session with them fails', async (t) => {
  for (const [name, left] of [
    ['1:1', 0],
    ['1:2', 1],
  ] as const) {
    const limits = { percent: '75.000000', lowWaterMark: '0.000000' };
    const open = await servePool(t, limits, { left, atPuttingBack: 0 });
    const session = await open();
    const lowering = lowerLimits(name, session, open);
    if (left === 0) await lowering;
    else await t.throwsAsync(lowering, { instanceOf: GuestError });
    t.deepEqual(limits, { percent: '75', lowWaterMark: '0' });
    session.close();
  }
});

test('limits that could not be put back are the next time, and those of an agent that was ended become defaults', async (t) => {
  const limits = { percent: '75.000000', lowWaterMark: '10.000000' };
  const open = await servePool(t, limits, { left: 1, atPuttingBack: 1 });
  await t.throwsAsync(lowerLimits('2:1', await open(), open), { instanceOf: GuestError });
  t.deepEqual(limits, { percent: '0.001000', lowWaterMark: '0.000000' });
  await lowerLimits('2:1', await open(), open);
  t.deepEqual(limits, { percent: '75', lowWaterMark: '10' });
  const left = { percent: '0.001000', lowWaterMark: '0.000000' };
  const openOther = await servePool(t, left, { left: 0, atPuttingBack: 0 });
  await lowerLimits('2:2', await openOther(), openOther);
  t.deepEqual(left, { percent: 'DEFAULT', lowWaterMark: 'DEFAULT' });
});
