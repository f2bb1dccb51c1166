/** The connection over real sockets. */
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { isCoded } from '../../foundation/coded-error.ts';
import { EngineConnection } from './connection.ts';
import { adopt, createPausedServer, type SocketOpener } from './fast-socket.ts';
import { frameHeader, type FrameType } from './frame.ts';

interface End {
  readonly connection: EngineConnection;
  readonly socket: Socket;
  readonly frames: { readonly type: FrameType; readonly payload: Buffer }[];
  readonly closed: Promise<Error | undefined>;
}

function end(
  socket: Socket,
  heartbeatMs = 1000,
  timeoutMs = 10_000,
  runsDry: (unacknowledgedBytes: number) => boolean = () => false,
  onBatch: () => void = () => undefined,
): End {
  const frames: { type: FrameType; payload: Buffer }[] = [];
  let close: (error: Error | undefined) => void = () => undefined;
  const closed = new Promise<Error | undefined>((resolve) => (close = resolve));
  const connection = new EngineConnection(reading(socket), {
    protection: 'checksums',
    heartbeatMs,
    timeoutMs,
    runsDry,
    onBatch,
    onFrame: (type, payload) => frames.push({ type, payload: Buffer.from(payload) }),
    onClosed: (error) => {
      close(error);
    },
  });
  connection.greeted();
  return { connection, socket, frames, closed };
}

/** As the engines read: the accepted end through a fixed buffer; the client's, which sends most, as Node does. */
function reading(socket: Socket): SocketOpener {
  return (onChunk, buffer) => {
    if (socket.isPaused()) return adopt(socket, buffer, onChunk);
    return socket.on('data', (chunk: Buffer) => {
      if (!onChunk(chunk)) socket.pause();
    });
  };
}

async function sockets(t: ExecutionContext): Promise<[Socket, Socket]> {
  const server = createPausedServer(false, () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const client = connect(address.port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  server.close();
  t.teardown(() => {
    client.destroy();
    accepted.destroy();
  });
  return [client, accepted];
}

async function pair(t: ExecutionContext, heartbeatMs?: number, timeoutMs?: number): Promise<[End, End]> {
  const [a, b] = await sockets(t);
  return [end(a, heartbeatMs, timeoutMs), end(b, heartbeatMs, timeoutMs)];
}

test('frames arrive in order, compressed or not', async (t) => {
  const [a, b] = await pair(t);
  a.connection.setCompression(1);
  const payloads = Array.from({ length: 60 }, (_, i) =>
    // Some compress well and slowly, some not at all, some are too short to try.
    i % 3 === 0 ? Buffer.alloc(300_000, i) : i % 3 === 1 ? randomBytes(50_000) : Buffer.from([i]),
  );
  for (const payload of payloads) a.connection.send('stream', payload, true);
  a.connection.end();
  t.is(await a.closed, undefined);
  t.true(isCoded(await b.closed, 'wire'));
  t.is(b.frames.length, payloads.length);
  b.frames.forEach(({ payload }, i) => {
    t.true(payload.equals(payloads[i] ?? Buffer.alloc(0)), `payload ${i}`);
  });
  t.is(a.connection.sentBytes, b.connection.receivedBytes);
  t.true(a.connection.sentBytes < a.connection.rawBytes);
  t.true(a.connection.compressionRatio > 2);
});

test('frames wait for a compressor while the link has something to carry', async (t) => {
  const [a, b] = await pair(t);
  a.connection.setCompression(1);
  const payload = Buffer.alloc(64 * 1024, 'compresses well');
  for (let i = 0; i < 40; i++) a.connection.send('stream', payload, true);
  while (b.frames.length < 40) await sleep(5);
  t.true(a.connection.sentBytes < payload.length, `${a.connection.sentBytes}`);
});

test('on a link that runs dry some frames go as they are, in their order', async (t) => {
  const [socket, other] = await sockets(t);
  const asked: number[] = [];
  const a = end(socket, 1000, 10_000, (unacknowledgedBytes) => {
    asked.push(unacknowledgedBytes);
    return unacknowledgedBytes < 200_000;
  });
  const b = end(other);
  a.connection.setCompression(1);
  const payloads = Array.from({ length: 40 }, (_, i) => Buffer.alloc(64 * 1024, i + 1));
  for (const payload of payloads) a.connection.send('stream', payload, true);
  // Each of the first frames beyond the compressors' goes as it is, until enough is under way.
  while (b.frames.length < 40) await sleep(5);
  b.frames.forEach(({ payload: got }, i) => {
    t.true(got.equals(payloads[i] ?? Buffer.alloc(0)), `payload ${i}`);
  });
  t.true(a.connection.sentBytes > 3 * 64 * 1024, `${a.connection.sentBytes}`);
  t.true(a.connection.sentBytes < 39 * 64 * 1024);
  t.is(asked[0], 0);
});

test('a stream that comes in small pieces is read in larger ones, and all of it', async (t) => {
  const [raw, accepted] = await sockets(t);
  let batches = 0;
  const b = end(accepted, 1000, 10_000, undefined, () => (batches += 1));
  const payload = randomBytes(3000);
  const frames = 200;
  for (let i = 0; i < frames; i++) {
    raw.write(frameHeader('stream', payload, undefined, 'checksums'));
    raw.write(payload);
    await new Promise(setImmediate);
  }
  while (b.frames.length < frames) await sleep(5);
  t.true(b.frames.every((frame) => frame.payload.equals(payload)));
  t.true(batches < frames, `${batches} batches`);
});

test('what is under way is known', async (t) => {
  const [a, b] = await pair(t);
  t.is(a.connection.outstandingBytes, 0);
  a.connection.send('stream', Buffer.alloc(1000));
  t.is(a.connection.outstandingBytes, 1020);
  while (b.frames.length === 0) await sleep(5);
  b.connection.acknowledge(b.connection.receivedBytes);
  while (a.connection.acknowledgedBytes === 0) await sleep(5);
  t.is(a.connection.outstandingBytes, 0);
  // An acknowledgement of what was never sent is not believed.
  b.connection.acknowledge(1e15);
  await sleep(50);
  t.is(a.connection.outstandingBytes, 0);
});

test('an abort tells the other engine why', async (t) => {
  const [a, b] = await pair(t);
  a.connection.send('stream', Buffer.from('before'));
  const error = Object.assign(new Error('the disk is gone'), { code: 'read-failed' });
  a.connection.abort(error);
  t.is(await a.closed, error);
  const seen = await b.closed;
  t.true(isCoded(seen, 'wire'));
  t.like(seen, { code: 'peer-aborted', peerCode: 'read-failed' });
  t.regex(seen?.message ?? '', /the disk is gone/);
});

test('bytes that no engine sends end the connection, and the sender is told', async (t) => {
  const [raw, accepted] = await sockets(t);
  const b = end(accepted);
  const answer: Buffer[] = [];
  raw.on('data', (chunk: Buffer) => answer.push(chunk));
  raw.write('GET / HTTP/1.1\r\n\r\n');
  t.like(await b.closed, { code: 'malformed' });
  await once(raw, 'close');
  t.regex(Buffer.concat(answer).toString('latin1'), /"code":"malformed"/);
});

test('an error of the receiver ends the connection on both sides', async (t) => {
  const [a, socket] = await sockets(t);
  const sender = end(a);
  let close: (error: Error | undefined) => void = () => undefined;
  const closed = new Promise<Error | undefined>((resolve) => (close = resolve));
  const receiver = new EngineConnection(reading(socket), {
    protection: 'checksums',
    heartbeatMs: 1000,
    timeoutMs: 10_000,
    onFrame: () => {
      throw new Error('no room');
    },
    onClosed: (error) => {
      close(error);
    },
  });
  receiver.greeted();
  sender.connection.send('stream', Buffer.alloc(10));
  t.like(await closed, { message: 'no room' });
  t.like(await sender.closed, { code: 'peer-aborted' });
});

test('heartbeats keep an idle connection alive', async (t) => {
  // The limit is far above what a busy machine takes away from both.
  const [a, b] = await pair(t, 20, 3000);
  await sleep(3500);
  t.false(a.connection.isClosed);
  t.false(b.connection.isClosed);
  t.deepEqual(b.frames, []);
});

test('silence ends the connection', async (t) => {
  const [, accepted] = await sockets(t);
  const b = end(accepted, 20, 150);
  t.like(await b.closed, { code: 'timeout' });
});

test('an engine that does not read because its output is full does not call the other one silent', async (t) => {
  const [a, b] = await pair(t, 50, 1500);
  b.connection.pauseReading();
  await sleep(2500);
  t.false(b.connection.isClosed);
  b.connection.resumeReading();
  await sleep(100);
  t.false(a.connection.isClosed);
  t.false(b.connection.isClosed);
});

test('a connection that breaks is no clean end', async (t) => {
  const [a, b] = await pair(t);
  a.socket.destroy();
  t.like(await b.closed, { code: 'closed' });
});

test('an engine that says to be alive and does not read is given up before it has made the other one keep much', async (t) => {
  const [a, b] = await pair(t, 50, 10_000);
  a.socket.removeAllListeners('data').pause();
  const payload = randomBytes(1024 * 1024);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 200; i++) {
    b.connection.send('stream', payload);
    await sleep(1);
  }
  t.like(await b.closed, { area: 'wire', code: 'timeout' });
  t.true(process.memoryUsage().rss - before < 400 * 1024 * 1024);
});
