import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { LineSplitter } from '../../foundation/line-splitter.ts';
import { parseMessage, type QmpMessage } from './messages.ts';
import { QmpClient } from './client.ts';

// As QEMU 10.0 writes them.
const greeting =
  '{"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n';
const session =
  greeting +
  '{"return": {}, "id": 1}\r\n' +
  '{"timestamp": {"seconds": 1700000000, "microseconds": 250000}, "event": "STOP"}\r\n' +
  '{"timestamp": {"seconds": 1700000000, "microseconds": 500000}, "event": "MIGRATION", "data": {"status": "completed"}}\r\n' +
  '{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "NIC_RX_FILTER_CHANGED", "data": {"name": "münchen"}}\r\n' +
  '{"id": 7, "error": {"class": "GenericError", "desc": "There is no migration"}}\r\n';

const expected: readonly QmpMessage[] = [
  { kind: 'greeting', outOfBand: true },
  { kind: 'answer', id: 1, value: {} },
  { kind: 'event', event: { name: 'STOP', data: {}, atMs: 1_700_000_000_250, receivedAtMs: 5 } },
  {
    kind: 'event',
    event: { name: 'MIGRATION', data: { status: 'completed' }, atMs: 1_700_000_000_500, receivedAtMs: 5 },
  },
  {
    kind: 'event',
    event: {
      name: 'NIC_RX_FILTER_CHANGED',
      data: { name: 'münchen' },
      atMs: 5,
      receivedAtMs: 5,
    },
  },
  { kind: 'refusal', id: 7, reason: 'There is no migration' },
];

test('messages are the same wherever the bytes are cut', (t) => {
  const bytes = Buffer.from(session);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const lines = new LineSplitter();
    const messages = [bytes.subarray(0, cut), bytes.subarray(cut)]
      .flatMap((chunk) => lines.push(chunk))
      .map((line) => parseMessage(line, 5));
    t.deepEqual(messages, expected, `cut at ${cut}`);
  }
});

test('what is not QMP is refused', (t) => {
  for (const line of ['SSH-2.0-OpenSSH', '{}', '[]', '3'])
    t.is(
      t.throws(() => parseMessage(line, 0), { instanceOf: CodedError, name: 'QmpError' }).code,
      'protocol',
    );
});

/** The other end of a socket, which says what the test wants at the moment that the test wants. */
async function peer(t: ExecutionContext, onConnection: (socket: Socket) => void): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'poolshift-qmp-'));
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  const file = path.join(dir, 'qmp.sock');
  await new Promise<void>((resolve) => server.listen(file, resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(dir, { recursive: true });
  });
  return file;
}

test('a lost connection rejects everything that waits', async (t) => {
  const file = await peer(t, (socket) => {
    socket.write(greeting);
    socket.on('data', (data) => {
      if (data.includes('qmp_capabilities')) socket.write('{"return": {}, "id": 1}\r\n');
      else socket.destroy();
    });
  });
  const client = await QmpClient.connect(file);
  const waiting = [
    client.execute('query-status'),
    client.execute('query-migrate'),
    client.waitForEvent(() => true, { timeoutMs: 10_000 }),
  ];
  for (const outcome of await Promise.allSettled(waiting)) {
    t.is(outcome.status, 'rejected');
    if (outcome.status === 'rejected') t.is((outcome.reason as CodedError<'qmp'>).code, 'connection-lost');
  }
  await t.throwsAsync(client.execute('stop'), { instanceOf: CodedError, name: 'QmpError', message: /ended/ });
});

test('a peer that never greets is given up in time', async (t) => {
  const file = await peer(t, () => undefined);
  const error = await t.throwsAsync(QmpClient.connect(file, { timeoutMs: 200 }), {
    instanceOf: CodedError,
    name: 'QmpError',
  });
  t.is(error.code, 'connect-failed');
});

test('a socket that is not there is reported with its path', async (t) => {
  const error = await t.throwsAsync(QmpClient.connect('/nonexistent/qmp.sock', { timeoutMs: 100 }), {
    instanceOf: CodedError,
    name: 'QmpError',
  });
  t.is(error.code, 'connect-failed');
  t.regex(error.message, /\/nonexistent\/qmp.sock.*ENOENT/);
});
