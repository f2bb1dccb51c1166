/** The destination engine between a source engine and a target that are played here: both can fall silent. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { EngineEvent } from '../core/engine-event.ts';
import type { EngineOutcome } from '../core/engine-options.ts';
import { Said } from '../core/testing/said.ts';
import { defaultLimits, type Limits } from '../core/wait-watch.ts';
import { PageHasher, randomHashKey } from '../list/content-hash.ts';
import type { StoragePlace } from '../storage/storage-place.ts';
import { packageLoadedPing } from '../stream/postcopy-ending.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import * as build from '../stream/testing/build-stream.ts';
import { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, type Liveness, ownHello } from '../wire/hello.ts';
import { encodeMessage } from '../wire/messages.ts';
import { connectToPeer } from '../wire/peer-security.ts';
import { encodePlanPart, type PlanPart } from '../wire/plan-codec.ts';
import { type RestOnStorage, runDestination } from './destination-engine.ts';

const plaintext = { by: 'nothing' } as const;
const hourMs = 3_600_000;
const ramSection = 3;
const ramPages = 4096;
const success = encodeReturnPathMessage({ type: returnPathMessage.shut, data: Buffer.alloc(4) });

interface Between {
  readonly outcome: Promise<EngineOutcome>;
  readonly events: Said<EngineEvent>;
  /** The source's end of the connection: it sends what it is told to, no heartbeats among it. */
  readonly source: EngineConnection;
  readonly frames: Said<FrameType>;
  /** What the source is told when the connection ends. */
  readonly sourceClosed: Promise<Error | undefined>;
  /** The target's end of its connection, once there is one; it reads nothing until it is told to. */
  readonly target: Promise<Socket>;
}

async function between(
  t: ExecutionContext,
  options: {
    readonly liveness?: Liveness;
    readonly limits?: Partial<Limits>;
    readonly storage?: readonly StoragePlace[];
    readonly keepForRecovery?: (rest: RestOnStorage) => Promise<void>;
  },
): Promise<Between> {
  t.timeout(60_000);
  const { liveness = defaultLiveness, limits, storage = [], keepForRecovery } = options;
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-destination-'));
  const incomingPath = path.join(folder, 'incoming');
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(incomingPath);
  await once(server, 'listening');
  const target = once(server, 'connection').then(([socket]) => {
    (socket as Socket).on('error', () => undefined);
    return socket as Socket;
  });
  const events = new Said<EngineEvent>();
  const outcome = runDestination({
    ...{ listen: { host: '127.0.0.1', port: 0 }, security: plaintext, incomingPath, storage, liveness },
    limits: { ...defaultLimits, ...limits },
    ...(keepForRecovery === undefined ? {} : { keepForRecovery }),
    onEvent: events.add,
  });
  const listening = await events.once(({ event }) => event === 'listening');
  const port = Number(listening.event === 'listening' ? listening.address.split(':')[1] : undefined);

  const frames = new Said<FrameType>();
  const closed = Promise.withResolvers<Error | undefined>();
  const source: EngineConnection = new EngineConnection(
    (onChunk, buffer) =>
      connectToPeer(plaintext, { host: '127.0.0.1', port }, buffer, onChunk, () => {
        source.send('hello', encodeMessage(ownHello('source', undefined, liveness)));
      }),
    {
      ...{ protection: 'checksums', heartbeatMs: hourMs, timeoutMs: hourMs },
      onFrame: (type) => {
        if (type === 'hello') source.greeted();
        frames.add(type);
      },
      onClosed: (error) => {
        closed.resolve(error);
      },
    },
  );
  t.teardown(async () => {
    source.end();
    void target.then((socket) => socket.destroy());
    server.close();
    await outcome;
    rmSync(folder, { recursive: true });
  });
  await frames.once((type) => type === 'hello');
  return { outcome, events, source, frames, sourceClosed: closed.promise, target };
}

/** Sends the stream in frames as large as the source's. */
function sendStream(source: EngineConnection, stream: Buffer): void {
  const frameBytes = 128 * 1024;
  for (let at = 0; at < stream.length; at += frameBytes)
    source.send('stream', stream.subarray(at, at + frameBytes));
}

/** Reads on; settles with what was read when it is so much, or nothing comes any more. */
async function readUpTo(target: Socket, bytes: number): Promise<number> {
  let read = 0;
  const done = Promise.withResolvers<undefined>();
  const finish = (): void => {
    done.resolve(undefined);
  };
  const take = (chunk: Buffer): void => {
    read += chunk.length;
    if (read >= bytes) finish();
  };
  target.on('data', take).once('end', finish).once('close', finish).resume();
  await done.promise;
  target.off('data', take).pause();
  return read;
}

/** `pages` pages of RAM, in one block. */
function ramStream(pages: number, ...before: readonly Buffer[]): Buffer {
  const blocks = [{ name: 'ram0', pageCount: ramPages }];
  return Buffer.concat([
    ...[build.magic, build.configuration('pc-q35-10.0'), build.command(1), ...before],
    ...[build.sectionStart(1, ramSection, 'ram', 4), build.memorySizes(blocks), build.sectionEnd(ramSection)],
    build.sectionPart(2, ramSection),
    ...Array.from({ length: pages }, (_, page) =>
      build.page(page === 0 ? 'ram0' : undefined, page, randomBytes(4096)),
    ),
    build.sectionEnd(ramSection),
  ]);
}

/** More than a socket's buffers hold, and less than the engine takes for a target that does not read. */
const stuckPages = 400;
const precopy = Buffer.concat([
  ramStream(stuckPages),
  build.sectionPart(3, ramSection),
  build.sectionEnd(ramSection),
  build.deviceState,
]);
const impatient: Liveness = { heartbeatMs: 100, timeoutMs: 1500 };

test('a source that falls silent before the last byte is delivered is told that the target never runs, and it never does', async (t) => {
  const { outcome, events, source, sourceClosed, target } = await between(t, { liveness: impatient });
  sendStream(source, precopy);
  source.send('commit', Buffer.alloc(0));
  await events.once(({ event }) => event === 'committed');
  t.like(await sourceClosed, { code: 'peer-aborted', peerCode: 'timeout', targetNeverRuns: true });
  const read = await readUpTo(await target, precopy.length);
  t.true(read < precopy.length);
  t.like(await outcome, { result: 'failed', error: { code: 'timeout' } });
});

test('what the source asks about is confirmed when the target has taken it, and not before', async (t) => {
  const { events, source, frames, target } = await between(t, {});
  const ram = precopy.subarray(0, -build.deviceState.length);
  sendStream(source, ram);
  source.send('confirm', Buffer.alloc(0));
  sendStream(source, build.deviceState);
  await events.once(({ event }) => event === 'switch-over');
  const ticks = (): number => events.all.filter(({ event }) => event === 'progress').length;
  await events.once(() => ticks() >= 5);
  t.false(frames.all.includes('confirmed'));
  t.is(await readUpTo(await target, ram.length), ram.length);
  await frames.once((type) => type === 'confirmed');
  source.send('abort', encodeMessage({ code: 'failed', message: 'enough', targetNeverRuns: false }));
});

test('where the target has the last byte when the source falls silent, its word is waited for', async (t) => {
  const { outcome, events, source, sourceClosed, target } = await between(t, { liveness: impatient });
  sendStream(source, precopy);
  source.send('commit', Buffer.alloc(0));
  await events.once(({ event }) => event === 'committed');
  const socket = await target;
  t.is(await readUpTo(socket, precopy.length), precopy.length);
  t.like(await sourceClosed, { code: 'peer-aborted', peerCode: 'timeout', targetNeverRuns: false });
  socket.end(success);
  t.like(await outcome, { result: 'migrated' });
});

const packageData = Buffer.concat([
  build.command(4),
  build.deviceState.subarray(0, -8),
  build.command(2, build.number(4, 3)),
  build.command(5),
]);
/** Becomes post-copy, with one page of the many that there are. */
const early = Buffer.concat([
  ramStream(1, build.command(3, Buffer.concat([build.number(8, 0x1000), build.number(8, 0x1000)]))),
  ...[build.command(7, build.number(4, packageData.length)), packageData],
]);

/** Pages that come from the source after that, more than a socket's buffers hold. */
const rest = Buffer.concat([
  build.sectionPart(2, ramSection),
  ...Array.from({ length: stuckPages - 1 }, (_, at) =>
    build.page(at === 0 ? 'ram0' : undefined, at + 1, randomBytes(4096)),
  ),
  build.sectionEnd(ramSection),
]);

interface Moved extends Between {
  readonly socket: Socket;
  readonly hashKey: Buffer;
  /** Of all pages from `planned` on. */
  readonly plan: PlanPart;
}

/** The target has loaded the package and the first page, and reads no more; all that it misses is on storage, and not planned yet. */
async function moved(
  t: ExecutionContext,
  options: Parameters<typeof between>[1],
  planned = 1,
): Promise<Moved> {
  const content = randomBytes(ramPages * 4096);
  const disk = path.join(mkdtempSync(path.join(tmpdir(), 'poolshift-disk-')), 'disk');
  t.teardown(() => {
    rmSync(path.dirname(disk), { recursive: true });
  });
  writeFileSync(disk, content);
  const moving = await between(t, { ...options, storage: [{ name: undefined, location: disk }] });
  const { source, frames, target } = moving;
  const hashKey = randomHashKey();
  source.send('early', Buffer.alloc(0));
  source.send(
    'sources',
    encodeMessage({ sources: [{ kind: 'disk', disk: 'vda' }], hashKey: hashKey.toString('hex') }),
  );
  await frames.once((type) => type === 'storage');
  sendStream(source, early);
  source.send('commit', Buffer.alloc(0));
  const socket = await target;
  // More, where huge pages may be behind this process's memory: a RAM_DISCARD.
  t.true((await readUpTo(socket, early.length)) >= early.length);
  socket.write(
    encodeReturnPathMessage({ type: returnPathMessage.pong, data: build.number(4, packageLoadedPing) }),
  );
  await frames.once((type) => type === 'moved');
  const pageCount = ramPages - planned;
  const hashes = new Uint32Array(2 * pageCount);
  const hasher = new PageHasher(hashKey);
  for (let at = 0; at < pageCount; at++) hasher.hashPage(content, (planned + at) * 4096, hashes, 2 * at);
  const runs = Uint32Array.of(planned, planned, pageCount);
  return { ...moving, socket, hashKey, plan: { blockIndex: 0, sourceIndex: 0, runs, hashes, pageCount } };
}

test('without a migration that begins it ends after a while', async (t) => {
  const { outcome } = await between(t, { limits: { startMs: 1000 } });
  const end = await outcome;
  t.is(end.result, 'failed');
  t.regex('error' in end ? end.error.message : '', /nothing was heard of the source's QEMU/);
});

test('alone with a target that does not read, its reading is what is waited for, and only for so long', async (t) => {
  const { outcome, events, source, plan } = await moved(t, { limits: { stallMs: 1000 } });
  source.send('plan', encodePlanPart(plan));
  source.end();
  await events.once(({ event }) => event === 'source-lost');
  const end = await outcome;
  t.is(end.result, 'incomplete');
  t.regex('error' in end ? end.error.message : '', /the target QEMU to read/);
});

test('the source is not needed when what is on storage is kept, and the kernel has what the target was handed', async (t) => {
  const order: string[] = [];
  const keeps = new Said<RestOnStorage>();
  const mayKeep = Promise.withResolvers<undefined>();
  const keepForRecovery = async (rest: RestOnStorage): Promise<void> => {
    keeps.add(rest);
    await mayKeep.promise;
    order.push('kept');
  };
  const { events, source, frames, socket, hashKey, plan } = await moved(t, { keepForRecovery }, stuckPages);
  const free = events.once(({ event }) => event === 'source-free').then(() => order.push('source-free'));
  const ticks = (): number => events.all.filter(({ event }) => event === 'progress').length;
  /** In which the engine would say it. */
  const someTicks = async (): Promise<void> => {
    const before = ticks();
    await events.once(() => ticks() >= before + 5);
  };
  sendStream(source, rest);
  source.send('plan', encodePlanPart(plan));
  const kept = await keeps.once(() => true);
  t.is(kept.hashKey, hashKey.toString('hex'));
  t.like(kept, { ramSectionId: ramSection, target: { pid: process.pid }, sources: [{ disk: 'vda' }] });
  t.deepEqual(
    kept.blocks.map(({ name, pageCount }) => [name, pageCount]),
    [['ram0', ramPages]],
  );
  await someTicks();
  mayKeep.resolve(undefined);
  await someTicks();
  order.push('the target reads');
  socket.resume();
  await frames.once((type) => type === 'sourceFree');
  await free;
  t.deepEqual(order, ['kept', 'the target reads', 'source-free']);
});

test('what cannot be kept is warned of, and the source is not needed all the same', async (t) => {
  const keepForRecovery = (): Promise<void> => Promise.reject(new Error('no room'));
  const { events, source, frames, socket, plan } = await moved(t, { keepForRecovery });
  socket.resume();
  source.send('plan', encodePlanPart(plan));
  t.like(await events.once(({ event }) => event === 'warning'), { code: 'not-kept', reason: 'no room' });
  await frames.once((type) => type === 'sourceFree');
  t.pass();
});

test('where it listens is said as --connect takes it, also of IPv6', async (t) => {
  const events = new Said<EngineEvent>();
  const interrupted: (() => void)[] = [];
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-destination-'));
  const outcome = runDestination({
    ...{ listen: { host: '::1', port: 0 }, security: plaintext, incomingPath: path.join(folder, 'incoming') },
    ...{ storage: [], liveness: defaultLiveness, limits: defaultLimits },
    onEvent: events.add,
    interrupts: { subscribe: (listener) => interrupted.push(listener) },
  });
  const listening = await events.once(({ event }) => event === 'listening');
  t.regex(listening.event === 'listening' ? listening.address : '', /^\[::1\]:\d+$/);
  for (const interrupt of interrupted) interrupt();
  t.is((await outcome).result, 'cancelled');
});
