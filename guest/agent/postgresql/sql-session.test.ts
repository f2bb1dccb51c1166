/** The real servers are in guest/lab/postgresql-on-servers.lab.test.ts; this is what only calls itself a server. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { PostgresqlSession } from './sql-session.ts';

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

const int = (bytes: 2 | 4, value: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeIntBE(value, 0, bytes);
  return buffer;
};
const welcome = Buffer.concat([
  message('R', int(4, 0)),
  message('S', Buffer.from('server_version\x0017.12\0')),
  message('K', Buffer.alloc(8)),
  message('Z', Buffer.from('I')),
]);
const ready = message('Z', Buffer.from('I'));

/** @param answers what is sent at each message that comes, the start of the session first */
async function serve(
  t: ExecutionContext,
  answers: readonly Buffer[],
  send: (socket: Socket, answer: Buffer) => void = (socket, answer) => socket.write(answer),
): Promise<Socket> {
  const server = createServer((socket) => {
    let received = 0;
    socket.on('error', () => undefined);
    socket.on('data', () => {
      const answer = answers[received++];
      if (answer !== undefined) send(socket, answer);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return connect((server.address() as AddressInfo).port, '127.0.0.1');
}

const account = { user: 'postgres', database: 'postgres', answerTimeoutMs: 10_000 };

const rows = Buffer.concat([
  message(
    'T',
    Buffer.concat([int(2, 2), Buffer.from('a\0'), Buffer.alloc(18), Buffer.from('b\0'), Buffer.alloc(18)]),
  ),
  message('D', Buffer.concat([int(2, 2), int(4, 2), Buffer.from('42'), int(4, -1)])),
  message('C', Buffer.from('SELECT 1\0')),
  ready,
]);

test('rows, whatever pieces they come in', async (t) => {
  for (const size of [1, 3, 1000]) {
    const socket = await serve(t, [welcome, rows], (peer, answer) => {
      for (let at = 0; at < answer.length; at += size) peer.write(answer.subarray(at, at + size));
    });
    const session = await PostgresqlSession.open(socket, account);
    t.deepEqual(await session.query('SELECT'), [{ a: '42', b: null }]);
    session.close();
  }
});

test('an error of a statement is said, and the session goes on', async (t) => {
  const error = message('E', Buffer.from('SERROR\0C42601\0Msyntax error\0\0'));
  const session = await PostgresqlSession.open(
    await serve(t, [welcome, Buffer.concat([error, ready]), rows]),
    account,
  );
  await t.throwsAsync(session.query('SELEC'), { message: 'syntax error (42601)' });
  t.is((await session.query('SELECT')).length, 1);
  session.close();
});

test('a server that asks for a password or for data, or says nothing, ends the session with the reason', async (t) => {
  const open = async (...answers: Buffer[]): Promise<PostgresqlSession> =>
    PostgresqlSession.open(await serve(t, answers), { ...account, answerTimeoutMs: 200 });
  await t.throwsAsync(open(message('R', int(4, 10))), { message: /asks for a password of postgres/ });
  await t.throwsAsync(open(), { message: /within 200 ms/ });
  await t.throwsAsync(open(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), { message: /does not speak/ });
  await t.throwsAsync(open(message('N', Buffer.alloc(70_000))), { message: /does not speak|too much/ });
  const copying = await open(welcome, message('G', Buffer.alloc(3)));
  await t.throwsAsync(copying.query('COPY t FROM STDIN'), { message: /asks for data/ });
  const silent = await open(welcome);
  await t.throwsAsync(silent.query('SELECT 1'), { message: /within 200 ms/ });
  await t.throwsAsync(silent.query('SELECT 1'), { message: /within 200 ms/ });
});

test('an answer without end ends the session soon, though each row of it is small', async (t) => {
  let sentBytes = 0;
  const row = message('D', Buffer.concat([int(2, 1), int(4, 1000), Buffer.alloc(1000, 'x')]));
  const socket = await serve(t, [welcome, row], (peer, answer) => {
    if (answer !== row) return void peer.write(answer);
    const timer = setInterval(() => {
      if (peer.destroyed) clearInterval(timer);
      else peer.write(row, () => (sentBytes += row.length));
    }, 1);
  });
  const session = await PostgresqlSession.open(socket, account);
  await t.throwsAsync(session.query('SELECT 1'), { message: /it sends too much/ });
  t.true(sentBytes < 1_000_000, `${sentBytes} bytes`);
});

test('a connection that is lost is told once, and not when it was closed here', async (t) => {
  let lost = 0;
  const sockets: Socket[] = [];
  const session = await PostgresqlSession.open(
    await serve(t, [welcome], (socket, answer) => {
      sockets.push(socket);
      socket.write(answer);
    }),
    account,
  );
  const told = new Promise<void>((resolve) => {
    session.onFailure(() => {
      lost += 1;
      resolve();
    });
  });
  sockets[0]?.destroy();
  await told;
  await t.throwsAsync(session.query('SELECT 1'), { message: /closed the connection|ECONNRESET/ });
  session.close();
  t.is(lost, 1);
});

test('any bytes are an answer or an error', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const socket = await serve(t, [welcome, Buffer.concat([bytes, ready])], (peer, answer) => {
        peer.write(answer, () => {
          if (answer !== welcome) peer.end();
        });
      });
      const session = await PostgresqlSession.open(socket, account);
      await session.query('SELECT 1').catch(() => undefined);
      session.close();
    }),
    { numRuns: 50 },
  );
  t.pass();
});
