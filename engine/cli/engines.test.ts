/**
 * Both engines in this process, with a captured stream of a real QEMU replayed to the source engine, and a connection
 * between the engines that breaks where it hurts most.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { runDestination } from '../destination/destination-engine.ts';
import type { DestinationOutcome } from '../destination/destination-options.ts';
import type { EngineEvent } from '../restore/engine-event.ts';
import { runSource } from '../source/source-engine.ts';
import type { SourceOutcome } from '../source/source-options.ts';
import { readFixture } from '../stream/testing/fixtures.ts';
import { FrameReader, type FrameType } from '../wire/frame.ts';

const stream = readFixture('qemu-10.0-switchover-ack');
const answers = readFixture('qemu-10.0-switchover-ack.return-path');

/** What the connection between the engines does with frames of the source: `cut` breaks it before the frame passes. */
type Verdict = 'pass' | 'cut';

interface Run {
  readonly source: Promise<SourceOutcome>;
  readonly destination: Promise<DestinationOutcome>;
  readonly events: EngineEvent[];
  /** QEMU's end of its connection to the source engine. */
  readonly qemu: Socket;
  /** What the target has got. */
  readonly received: () => Buffer;
  readonly interrupt: AbortController;
}

async function start(
  t: ExecutionContext,
  verdict: (type: FrameType, passedBytes: number) => Verdict,
  options: { readonly dropsAnswers?: boolean; readonly vm?: string } = {},
): Promise<Run> {
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-engines-'));
  const servers: Server[] = [];
  t.teardown(() => {
    for (const server of servers) server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const received: Buffer[] = [];
  const target = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      bytes += chunk.length;
      // Like QEMU, it says that it is done, and closes, when it has everything.
      if (bytes === stream.length) socket.end(answers);
    });
    socket.on('end', () => socket.end());
  }).listen(path.join(folder, 'incoming'));
  servers.push(target);

  const events: EngineEvent[] = [];
  const interrupt = new AbortController();
  const onEvent = (event: EngineEvent): void => {
    events.push(event);
  };
  const listening = Promise.withResolvers<number>();
  const destination = runDestination({
    listen: { host: '127.0.0.1', port: 0 },
    incomingPath: path.join(folder, 'incoming'),
    storage: [],
    vm: 'one',
    signal: interrupt.signal,
    onEvent: (event) => {
      if (event.event === 'listening') listening.resolve(Number(event.address.split(':')[1]));
      else onEvent(event);
    },
  });
  const proxy = createServer((fromSource) => {
    relay(fromSource, connect(destinationPort, '127.0.0.1'), verdict, options.dropsAnswers === true);
  }).listen(0, '127.0.0.1');
  servers.push(proxy);
  const destinationPort = await listening.promise;
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
  const sourceListens = Promise.withResolvers<undefined>();
  const source = runSource({
    listenPath: path.join(folder, 'outgoing'),
    destination: { host: '127.0.0.1', port: address.port },
    strategy: 'passthrough',
    compression: 'zstd',
    vm: options.vm ?? 'one',
    signal: interrupt.signal,
    onEvent: (event) => {
      if (event.event === 'listening' || event.event === 'failed') sourceListens.resolve(undefined);
      onEvent(event);
    },
  });
  await sourceListens.promise;
  const qemu = connect({ path: path.join(folder, 'outgoing'), allowHalfOpen: true });
  qemu.on('error', () => undefined);
  t.teardown(() => {
    qemu.destroy();
    interrupt.abort();
  });
  qemu.write(stream);
  return { source, destination, events, qemu, received: () => Buffer.concat(received), interrupt };
}

/** Joins the engines, frame by frame towards the destination. */
function relay(
  fromSource: Socket,
  toDestination: Socket,
  verdict: (type: FrameType, passedBytes: number) => Verdict,
  dropsAnswers: boolean,
): void {
  const both = [fromSource, toDestination];
  for (const socket of both) {
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const other of both) other.destroy();
    });
  }
  let isCut = false;
  let passed = 0;
  let pending: Buffer = Buffer.alloc(0);
  const reader = new FrameReader((type) => {
    if (isCut) return;
    if (verdict(type, passed) === 'cut') {
      isCut = true;
      // What passed before is delivered; then both see the connection end.
      toDestination.end();
      fromSource.destroy();
      return;
    }
    const bytes = reader.wireBytes - passed;
    toDestination.write(Buffer.from(pending.subarray(0, bytes)));
    pending = pending.subarray(bytes);
    passed = reader.wireBytes;
  });
  fromSource.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    reader.push(chunk);
  });
  let frames = 0;
  const back = new FrameReader((type) => {
    frames += 1;
    if (dropsAnswers && type === 'returnPath') fromSource.destroy();
  });
  toDestination.on('data', (chunk: Buffer) => {
    back.push(chunk);
    if (!fromSource.destroyed && frames > 0) fromSource.write(chunk);
  });
}

/** Settles when the source engine has closed its end, or broken off. */
function closeOf(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => {
    for (const event of ['end', 'close'] as const) {
      socket.once(event, () => {
        resolve();
      });
    }
    if (socket.destroyed || socket.readableEnded) resolve();
  });
}

test('a stream arrives as it was, and both QEMUs are let go', async (t) => {
  const run = await start(t, () => 'pass');
  const closed = once(run.qemu, 'end');
  const answered: Buffer[] = [];
  run.qemu.on('data', (chunk: Buffer) => answered.push(chunk));
  await closed;
  run.qemu.end();
  t.like(await run.source, { result: 'migrated' });
  t.like(await run.destination, { result: 'migrated' });
  t.true(run.received().equals(stream));
  t.true(Buffer.concat(answered).equals(answers));
});

test('cut in the middle, the migration fails on both sides and QEMU is told', async (t) => {
  const run = await start(t, (type, bytes) => (type === 'stream' && bytes > 100_000 ? 'cut' : 'pass'));
  await closeOf(run.qemu);
  t.like(await run.source, { result: 'failed' });
  t.like(await run.destination, { result: 'failed' });
  t.true(run.received().length < stream.length);
});

test('cut before the commit arrives, the target never has the last byte, and the source cannot know', async (t) => {
  const run = await start(t, (type) => (type === 'commit' ? 'cut' : 'pass'));
  let qemuClosed = false;
  run.qemu.resume();
  run.qemu.on('end', () => (qemuClosed = true));
  t.like(await run.destination, { result: 'failed' });
  await sleep(300);
  // A cut may also drop what was still on its way to the target: it has a beginning of the stream, never all of it.
  const received = run.received();
  t.true(received.length < stream.length);
  t.true(received.equals(stream.subarray(0, received.length)));
  t.true(run.events.some(({ event }) => event === 'in-doubt'));
  t.false(qemuClosed, 'the source VM must not go on by itself');
  run.interrupt.abort();
  t.like(await run.source, { result: 'in-doubt' });
  await closeOf(run.qemu);
});

test("cut after the commit, the target has everything, and the source's VM stays stopped", async (t) => {
  const run = await start(t, () => 'pass', { dropsAnswers: true });
  let qemuClosed = false;
  run.qemu.resume();
  run.qemu.on('end', () => (qemuClosed = true));
  t.like(await run.destination, { result: 'migrated' });
  t.true(run.received().equals(stream));
  await sleep(200);
  t.true(run.events.some(({ event }) => event === 'in-doubt'));
  t.false(qemuClosed, 'there would be two running VMs');
  run.interrupt.abort();
  t.like(await run.source, { result: 'in-doubt' });
});

test('engines of different VMs do not start', async (t) => {
  const run = await start(t, () => 'pass', { vm: 'another' });
  const outcome = await run.source;
  t.is(outcome.result, 'failed');
  t.regex(
    outcome.result === 'failed' ? outcome.error.message : '',
    /VM "another" here, "one" there|VM "one"/,
  );
});
