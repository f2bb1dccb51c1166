/**
 * Both engines in this process, with a captured stream of a real QEMU replayed to the source engine, and a connection
 * between the engines that breaks where it hurts most.
 */
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { runDestination } from '../destination/destination-engine.ts';
import type { EngineEvent } from '../core/engine-event.ts';
import type { EngineOutcome } from '../core/engine-options.ts';
import { runSource } from '../source/source-engine.ts';
import { StreamReader } from '../stream/reader.ts';
import { readFixture } from '../stream/testing/fixtures.ts';
import { FrameReader, type FrameType } from '../wire/frame.ts';

const stream = readFixture('qemu-10.0-switchover-ack');
/** The target reports error 1 (migration/migration.c, migrate_send_rp_shut). */
const failure = Buffer.from([0, 1, 0, 4, 0, 0, 0, 1]);
const answers = readFixture('qemu-10.0-switchover-ack.return-path');

/**
 * What the connection between the engines does with frames of the source: `cut` breaks it before the frame passes; with a
 * number it changes a bit of this byte of it, counted from the frame's end where that is negative.
 */
type Verdict = 'pass' | 'cut' | number;

interface Run {
  readonly source: Promise<EngineOutcome>;
  readonly destination: Promise<EngineOutcome>;
  readonly events: EngineEvent[];
  /** Emits `event` for each of them. */
  readonly happening: EventEmitter;
  /** QEMU's end of its connection to the source engine. */
  readonly qemu: Socket;
  /** What the target has got. */
  readonly received: () => Buffer;
  /** A signal to both engines. */
  readonly interrupt: () => void;
}

async function start(
  t: ExecutionContext,
  verdict: (type: FrameType, passedBytes: number) => Verdict,
  options: {
    readonly dropsAnswers?: boolean;
    readonly vm?: string;
    /** Before it closes, when it has everything; default: success. */
    readonly targetSays?: Buffer;
    /** Default: all of the stream. */
    readonly qemuSendsBytes?: number;
  } = {},
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
      if (bytes === stream.length) socket.end(options.targetSays ?? answers);
    });
    socket.on('end', () => socket.end());
  }).listen(path.join(folder, 'incoming'));
  servers.push(target);

  const events: EngineEvent[] = [];
  const happening = new EventEmitter();
  const listeners: (() => void)[] = [];
  const interrupts = { subscribe: (listener: () => void) => void listeners.push(listener) };
  const interrupt = (): void => {
    for (const listener of listeners) listener();
  };
  const onEvent = (event: EngineEvent): void => {
    events.push(event);
    happening.emit('event');
  };
  const listening = Promise.withResolvers<number>();
  const destination = runDestination({
    listen: { host: '127.0.0.1', port: 0 },
    security: { by: 'nothing' },
    incomingPath: path.join(folder, 'incoming'),
    storage: [],
    vm: 'one',
    interrupts,
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
    security: { by: 'nothing' },
    strategy: 'passthrough',
    compression: 'zstd',
    vm: options.vm ?? 'one',
    interrupts,
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
    interrupt();
  });
  const sent = new Promise<void>((resolve) => {
    qemu.write(stream.subarray(0, options.qemuSendsBytes), () => {
      resolve();
    });
  });
  // What is not in the kernel by then is lost when the connection is destroyed.
  if (options.qemuSendsBytes !== undefined) await sent;
  return { source, destination, events, happening, qemu, received: () => Buffer.concat(received), interrupt };
}

/** Joins the engines, frame by frame towards the destination. */
function relay(
  fromSource: Socket,
  toDestination: Socket,
  verdict: (type: FrameType, passedBytes: number) => Verdict,
  dropsAnswers: boolean,
): void {
  for (const socket of [fromSource, toDestination]) socket.on('error', () => undefined);
  fromSource.on('close', () => toDestination.destroy());
  // Destroyed while the source sends, it would be reset, which may overtake the destination's last word.
  toDestination.on('close', () => fromSource.end());
  let isCut = false;
  let passed = 0;
  let pending: Buffer = Buffer.alloc(0);
  const reader = new FrameReader('checksums', (type) => {
    if (isCut) return;
    const decided = verdict(type, passed);
    if (decided === 'cut') {
      isCut = true;
      // What passed before is delivered; then both see the connection end.
      toDestination.end();
      fromSource.destroy();
      return;
    }
    const bytes = reader.wireBytes - passed;
    const frame = Buffer.from(pending.subarray(0, bytes));
    if (decided !== 'pass') {
      const at = decided < 0 ? bytes + decided : decided;
      frame.writeUInt8(frame.readUInt8(at) ^ 4, at);
    }
    toDestination.write(frame);
    pending = pending.subarray(bytes);
    passed = reader.wireBytes;
  });
  fromSource.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    reader.push(chunk);
  });
  let frames = 0;
  const back = new FrameReader('checksums', (type) => {
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

for (const [what, at] of [
  ['kind', 0],
  ['length', 5],
  ['checksum', 15],
  ['first byte', 20],
  ['last byte', -1],
] as const) {
  test(`a bit changed on the way, in a frame's ${what}, ends the migration on both sides and never reaches the target`, async (t) => {
    let changed = false;
    const run = await start(t, (type, bytes) => {
      if (changed || type !== 'stream' || bytes < 100_000) return 'pass';
      changed = true;
      return at;
    });
    await closeOf(run.qemu);
    const [source, destination] = await Promise.all([run.source, run.destination]);
    t.like(destination, { result: 'failed', error: { code: 'corrupt' } });
    t.like(source, { result: 'failed', error: { code: 'peer-aborted', peerCode: 'corrupt' } });
    const received = run.received();
    t.true(received.equals(stream.subarray(0, received.length)));
  });
}

test('cut in the middle, the migration fails on both sides and QEMU is told', async (t) => {
  const run = await start(t, (type, bytes) => (type === 'stream' && bytes > 100_000 ? 'cut' : 'pass'));
  await closeOf(run.qemu);
  t.like(await run.source, { result: 'failed' });
  t.like(await run.destination, { result: 'failed' });
  t.true(run.received().length < stream.length);
});

/** Up to the end of RAM: no device state. */
const memoryBytes = endOfMemory();

function endOfMemory(): number {
  let bytes = 0;
  let inDeviceState = false;
  const reader = new StreamReader({ deviceState: () => (inDeviceState = true) }, (_buffer, start, end) => {
    if (!inDeviceState) bytes += end - start;
  });
  reader.push(stream);
  return bytes;
}

const count = (run: Run, name: EngineEvent['event']): number =>
  run.events.filter(({ event }) => event === name).length;

/** Settles when there are so many events of that name, of both engines. */
async function atLeast(run: Run, times: number, name: EngineEvent['event']): Promise<void> {
  while (count(run, name) < times) await once(run.happening, 'event');
}

/** Long enough for what must not happen to be seen, on a machine that is not busy. */
const quietMs = 200;

test('cut before the commit arrives, the target has no device state, and the source cannot know', async (t) => {
  const run = await start(t, (type) => (type === 'commit' ? 'cut' : 'pass'));
  let qemuClosed = false;
  run.qemu.resume();
  run.qemu.on('end', () => (qemuClosed = true));
  t.like(await run.destination, { result: 'failed' });
  await atLeast(run, 1, 'in-doubt');
  await sleep(quietMs);
  const received = run.received();
  t.true(received.length <= memoryBytes);
  t.true(received.equals(stream.subarray(0, received.length)));
  run.interrupt();
  await atLeast(run, 1, 'signal-refused');
  await sleep(quietMs);
  t.false(qemuClosed, 'the source VM must not go on by itself, nor at a signal');
  // Somebody has looked, and tells QEMU.
  run.qemu.destroy();
  t.like(await run.source, { result: 'in-doubt' });
});

test("cut after the commit, the target has everything, and the source's VM stays stopped", async (t) => {
  const run = await start(t, () => 'pass', { dropsAnswers: true });
  let qemuClosed = false;
  run.qemu.resume();
  run.qemu.on('end', () => (qemuClosed = true));
  t.like(await run.destination, { result: 'migrated' });
  t.true(run.received().equals(stream));
  await atLeast(run, 1, 'in-doubt');
  run.interrupt();
  await sleep(quietMs);
  t.false(qemuClosed, 'there would be two running VMs');
  run.qemu.destroy();
  t.like(await run.source, { result: 'in-doubt' });
});

test('a target that reports an error leaves the VM at the source, on both sides', async (t) => {
  const run = await start(t, () => 'pass', { targetSays: failure });
  await closeOf(run.qemu);
  t.like(await run.source, { result: 'failed' });
  t.like(await run.destination, { result: 'failed' });
  t.is(count(run, 'in-doubt'), 0);
});

test('a target that ends without a word when it has everything is in doubt on both sides', async (t) => {
  const run = await start(t, () => 'pass', { targetSays: Buffer.alloc(0) });
  t.like(await run.destination, { result: 'in-doubt' });
  let qemuClosed = false;
  run.qemu.resume();
  run.qemu.on('end', () => (qemuClosed = true));
  await atLeast(run, 2, 'in-doubt');
  await sleep(quietMs);
  t.false(qemuClosed);
  run.qemu.destroy();
  t.like(await run.source, { result: 'in-doubt' });
});

test('QEMU that is cancelled before its last byte leaves the VM at the source', async (t) => {
  for (const bytes of [100, memoryBytes, memoryBytes + 1000, stream.length - 1]) {
    const run = await start(t, () => 'pass', { qemuSendsBytes: bytes });
    run.qemu.destroy();
    t.like(await run.source, { result: 'failed' }, `${bytes} bytes`);
    t.like(await run.destination, { result: 'failed' }, `${bytes} bytes`);
    t.true(run.received().length <= memoryBytes, `${bytes} bytes`);
  }
});

test('a signal before the commit cancels on both sides', async (t) => {
  const run = await start(t, () => 'pass', { qemuSendsBytes: stream.length - 1 });
  await sleep(100);
  run.interrupt();
  t.like(await run.source, { result: 'cancelled' });
  t.like(await run.destination, { result: 'cancelled' });
  await closeOf(run.qemu);
  t.true(run.received().length <= memoryBytes);
});

test('engines of different VMs do not start', async (t) => {
  const run = await start(t, () => 'pass', { vm: 'another' });
  const outcome = await run.source;
  t.is(outcome.result, 'failed');
  t.regex(outcome.result === 'failed' ? outcome.error.message : '', /for another VM/);
});
