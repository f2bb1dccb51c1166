/** The source engine between a QEMU and a destination engine that are played here. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { EngineEvent } from '../core/engine-event.ts';
import type { EngineOutcome } from '../core/engine-options.ts';
import { Said } from '../core/testing/said.ts';
import { defaultLimits, type Limits } from '../core/wait-watch.ts';
import { decodePageList, encodePageList } from '../list/page-list-codec.ts';
import { emptyRuns } from '../list/page-list.ts';
import * as build from '../stream/testing/build-stream.ts';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import { EngineConnection } from '../wire/connection.ts';
import type { FrameType } from '../wire/frame.ts';
import { defaultLiveness, ownHello } from '../wire/hello.ts';
import { encodeMessage, type RestoreStatus } from '../wire/messages.ts';
import { decodePlanPart } from '../wire/plan-codec.ts';
import { runSource } from './source-engine.ts';
import type { SourceOptions } from './source-options.ts';

const liveness = defaultLiveness;

interface Between {
  readonly outcome: Promise<EngineOutcome>;
  readonly events: Said<EngineEvent>;
  /** QEMU's end of its connection. */
  readonly qemu: Socket;
  /** The destination's end. */
  readonly destination: EngineConnection;
  readonly frames: Said<FrameType>;
  /** Bytes of QEMU's stream that the destination has got. */
  readonly streamedBytes: () => number;
  readonly plannedPages: () => number;
  /** The destination says that the target will never run. */
  readonly refuse: () => void;
}

/** An early resume without a list, where nothing else is said. */
async function between(
  t: ExecutionContext,
  options: {
    readonly limits: Partial<Limits>;
    readonly source?: Pick<SourceOptions, 'moveSignal' | 'ram' | 'requestList'> &
      Partial<Pick<SourceOptions, 'strategy' | 'compression'>>;
    /** Whether the destination says that it has passed on what it was asked about. Default true. */
    readonly confirms?: boolean;
    /** Whether it says what it has taken. Default false. */
    readonly acknowledges?: boolean;
  },
): Promise<Between> {
  t.timeout(120_000);
  const folder = mkdtempSync(path.join(tmpdir(), 'poolshift-source-'));
  const frames = new Said<FrameType>();
  let streamedBytes = 0;
  let plannedPages = 0;
  const connected = Promise.withResolvers<EngineConnection>();
  const server = createServer((socket) => {
    const destination: EngineConnection = new EngineConnection(
      (onChunk) => socket.on('data', (chunk: Buffer) => void onChunk(chunk)),
      {
        ...{ protection: 'checksums', ...liveness },
        onFrame: (type, payload) => {
          if (type === 'hello') {
            destination.greeted();
            destination.send('hello', encodeMessage(ownHello('destination', undefined, liveness)));
          }
          if (type === 'confirm' && options.confirms !== false)
            destination.send('confirmed', Buffer.alloc(0));
          if (type === 'stream') streamedBytes += payload.length;
          if (type === 'plan') plannedPages += decodePlanPart(payload).pageCount;
          frames.add(type);
        },
        targetNeverRuns: () => true,
        onBatch: () => {
          if (options.acknowledges === true) destination.acknowledge(destination.receivedBytes);
        },
        onClosed: () => undefined,
      },
    );
    connected.resolve(destination);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const events = new Said<EngineEvent>();
  const listenPath = path.join(folder, 'outgoing');
  const outcome = runSource({
    ...{ listenPath, destination: { host: '127.0.0.1', port: address.port }, security: { by: 'nothing' } },
    ...{ strategy: 'resume', compression: 'none', onEvent: events.add },
    ...options.source,
    limits: { ...defaultLimits, ...options.limits },
  });
  await events.once(({ event }) => event === 'listening');
  const qemu = connect({ path: listenPath, allowHalfOpen: true });
  qemu.on('error', () => undefined).resume();
  const destination = await connected.promise;
  t.teardown(async () => {
    destination.end();
    qemu.destroy();
    server.close();
    await outcome;
    rmSync(folder, { recursive: true });
  });
  return {
    outcome,
    events,
    qemu,
    destination,
    frames,
    streamedBytes: () => streamedBytes,
    plannedPages: () => plannedPages,
    refuse: () => {
      destination.abort(new Error('the target QEMU reports error 1'));
    },
  };
}

const ramPages = 4096;
const ramSection = 3;
const pages = Array.from({ length: ramPages }, (_, page) => page);
const opening = Buffer.concat([
  ...[build.magic, build.configuration('pc-q35-10.0'), build.command(1)],
  build.command(3, Buffer.concat([build.number(8, 0x1000), build.number(8, 0x1000)])),
  ...[
    build.sectionStart(1, ramSection, 'ram', 4),
    build.memorySizes([{ name: 'ram0', pageCount: ramPages }]),
  ],
  build.sectionEnd(ramSection),
]);
const firstPass = Buffer.concat([
  ...[opening, build.sectionPart(2, ramSection)],
  ...pages.map((page) => build.zeroPage(page === 0 ? 'ram0' : undefined, page)),
  build.sectionEnd(ramSection),
]);
const packageData = Buffer.concat([build.command(4), build.command(2, build.number(4, 3)), build.command(5)]);
/** The target throws everything away, and gets the package. */
const moving = Buffer.concat([
  build.command(
    6,
    Buffer.concat([
      ...[build.number(1, 0), build.name('ram0'), build.number(1, 0)],
      ...[build.number(8, 0), build.number(8, ramPages * 4096)],
    ]),
  ),
  ...[build.command(7, build.number(4, packageData.length)), packageData],
]);
/** All of RAM once more. */
const owed = Buffer.concat([
  build.sectionPart(2, ramSection),
  ...pages.map((page) => build.page(page === 0 ? 'ram0' : undefined, page, randomBytes(4096))),
  build.sectionEnd(ramSection),
]);

/** The same, so small that no send window is full of it. */
const owedZeros = Buffer.concat([
  build.sectionPart(2, ramSection),
  ...pages.map((page) => build.zeroPage(page === 0 ? 'ram0' : undefined, page)),
  build.sectionEnd(ramSection),
]);
/** Of RAM, and of the stream. */
const end = Buffer.concat([
  build.sectionPart(3, ramSection),
  build.sectionEnd(ramSection),
  build.number(1, 0),
]);

const descriptionText = '{"page_size": 4096, "devices": []}';
/** Behind the stream's end. */
const description = Buffer.concat([
  ...[build.number(1, 6), build.number(4, descriptionText.length), Buffer.from(descriptionText)],
]);

/** The VM has moved, as far as the source knows. */
async function afterTheMove(t: ExecutionContext): Promise<Between> {
  const run = await between(t, { limits: {} });
  run.qemu.write(firstPass);
  await run.events.once(({ event }) => event === 'may-move');
  run.qemu.write(moving);
  await run.frames.once((type) => type === 'commit');
  return run;
}

// libvirt ends it when the target has everything, and asks no engine.
for (const before of ['moved', 'started'] as const) {
  test(`a QEMU that ends when it has sent everything, heard before "${before}", is no loss`, async (t) => {
    const run = await afterTheMove(t);
    const say = (type: 'moved' | 'started'): void => {
      run.destination.send(type, Buffer.alloc(0));
    };
    if (before === 'started') say('moved');
    run.qemu.write(owedZeros);
    run.qemu.end(end);
    // Long enough for it to be heard.
    await sleep(500);
    if (before === 'moved') say('moved');
    say('started');
    t.like(await run.outcome, { result: 'migrated' });
    t.false(run.events.all.some(({ event }) => event === 'incomplete'));
  });
}

test('a QEMU that ends when it has sent everything, and a link that breaks before the last word', async (t) => {
  const run = await afterTheMove(t);
  run.destination.send('moved', Buffer.alloc(0));
  run.qemu.write(owedZeros);
  run.qemu.end(end);
  await sleep(500);
  run.destination.end();
  t.like(await run.outcome, { result: 'incomplete' });
});

test('a QEMU that ends while its end of RAM waits for pages is heard at once', async (t) => {
  const run = await afterTheMove(t);
  run.destination.send('moved', Buffer.alloc(0));
  await run.events.once(({ event }) => event === 'moved');
  // Of all that was thrown away it sends nothing on this connection.
  run.qemu.end(end);
  const outcome = await run.outcome;
  t.is(outcome.result, 'incomplete');
  t.regex('error' in outcome ? outcome.error.message : '', /QEMU has ended/);
});

test('in doubt about an early resume QEMU is read only as far as the destination takes it; without the link, to its end', async (t) => {
  const run = await between(t, { limits: { switchoverMs: 100 } });
  run.qemu.write(firstPass);
  await run.events.once(({ event }) => event === 'may-move');
  run.qemu.write(moving);
  await run.frames.once((type) => type === 'commit');
  run.qemu.end(owed);
  const doubt = await run.events.once(({ event }) => event === 'in-doubt');
  t.regex(doubt.event === 'in-doubt' ? doubt.advice : '', /keep the QEMU here.*poolshift-engine recover/);
  // Long enough for all of it to be read.
  await sleep(1000);
  t.true(run.streamedBytes() < 4 * 1024 * 1024, `${run.streamedBytes()}`);
  run.destination.end();
  t.like(await run.outcome, { result: 'in-doubt' });
});

test('when the VM may move and its package waits, somebody to say so is waited for, and only for so long', async (t) => {
  const run = await between(t, {
    limits: { stallMs: 1000 },
    source: { moveSignal: { subscribe: () => undefined } },
  });
  run.qemu.write(firstPass);
  await run.events.once(({ event }) => event === 'may-move');
  run.qemu.write(moving);
  const end = await run.outcome;
  t.is(end.result, 'failed');
  t.regex('error' in end ? end.error.message : '', /somebody to say that the VM moves/);
});

for (const [scarce, busyShare] of [
  ['link', 0.1],
  ['processors', 1],
] as const) {
  test(`balance finds out that ${scarce === 'link' ? 'the link is' : 'processors are'} scarce, and does accordingly`, async (t) => {
    let asked = 0;
    const run = await between(t, {
      limits: {},
      source: {
        ...{ strategy: 'balance', compression: 'auto' },
        ram: { block: () => ({ read: () => undefined }), close: () => undefined },
        requestList: (signal) => {
          asked += 1;
          return new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reject(new Error('ended'));
            });
          });
        },
      },
    });
    // The destination acknowledges nothing, so that the window is full.
    run.qemu.write(Buffer.concat([opening, owed]));
    await run.frames.once((type) => type === 'stream');
    await sleep(200);
    t.is(asked, 0);
    for (let i = 0; i < 4; i++) {
      run.destination.send('load', encodeMessage({ busyShare, idleShare: 0 }));
      await sleep(50);
    }
    t.like(await run.events.once(({ event }) => event === 'scarce'), { what: scarce });
    t.is(asked, scarce === 'link' ? 1 : 0);
  });
}

test('a destination that never says how busy it is keeps balance from its list, and makes it wait for nothing', async (t) => {
  const run = await between(t, {
    limits: {},
    source: {
      ...{ strategy: 'balance', compression: 'auto' },
      ram: { block: () => ({ read: () => undefined }), close: () => undefined },
      requestList: () => Promise.reject(new Error('asked')),
    },
  });
  run.qemu.write(firstPass);
  t.like(await run.events.once(({ event }) => event === 'no-list'), { code: 'not-needed' });
  run.qemu.write(Buffer.concat([end, description]));
  await run.frames.once((type) => type === 'commit');
  run.qemu.end();
  run.destination.send('started', Buffer.alloc(0));
  t.like(await run.outcome, { result: 'migrated' });
});

test('nothing is committed to a destination that has not passed on all of memory: the VM goes on here', async (t) => {
  const run = await between(t, {
    ...{ limits: { switchoverMs: 1000 }, source: { strategy: 'passthrough' }, confirms: false },
  });
  const closed = once(run.qemu, 'end');
  run.qemu.write(Buffer.concat([firstPass, end, description]));
  const outcome = await run.outcome;
  t.is(outcome.result, 'failed');
  t.regex('error' in outcome ? outcome.error.message : '', /the destination to have passed on/);
  t.false(run.frames.all.includes('commit'));
  await closed;
});

test('nor is a package', async (t) => {
  const run = await between(t, { limits: { switchoverMs: 1000 }, confirms: false });
  run.qemu.write(firstPass);
  await run.events.once(({ event }) => event === 'may-move');
  run.qemu.write(moving);
  t.like(await run.outcome, { result: 'failed' });
  t.false(run.frames.all.includes('commit'));
});

test('post-copy that QEMU starts is passed on when what came before is with the target', async (t) => {
  const run = await between(t, {
    ...{ limits: {}, source: { strategy: 'passthrough' }, confirms: false },
  });
  run.qemu.write(firstPass);
  run.qemu.write(moving);
  await run.frames.once((type) => type === 'confirm');
  const before = run.streamedBytes();
  // Long enough for more to be sent.
  await sleep(500);
  t.is(run.streamedBytes(), before);
  run.destination.send('confirmed', Buffer.alloc(0));
  await run.frames.once((type) => type === 'commit');
  run.destination.send('started', Buffer.alloc(0));
  run.qemu.end();
  t.like(await run.outcome, { result: 'migrated' });
});

/** A section of a device, in whose buffer a guest has written what a stream ends with. */
const forged = Buffer.concat([...[build.sectionStart(4, 9, 'e1000', 2), build.number(1, 0), description]]);
const restOfDevice = Buffer.concat([Buffer.alloc(1000), build.sectionEnd(9)]);

test("a device's buffer that looks like the stream's end, at the end of what QEMU has sent so far, is not taken for it", async (t) => {
  const run = await between(t, {
    ...{ limits: {}, source: { strategy: 'passthrough' }, confirms: false },
  });
  run.qemu.write(Buffer.concat([firstPass, end.subarray(0, -1), forged]));
  await run.frames.once((type) => type === 'confirm');
  // Long enough for it to be taken for the end.
  await sleep(500);
  run.qemu.write(restOfDevice);
  await sleep(500);
  run.destination.send('confirmed', Buffer.alloc(0));
  await sleep(500);
  t.false(run.frames.all.includes('commit'));
  run.qemu.write(Buffer.concat([build.number(1, 0), description]));
  await run.frames.once((type) => type === 'commit');
  run.destination.send('started', Buffer.alloc(0));
  run.qemu.end();
  t.like(await run.outcome, { result: 'migrated' });
});

test('what follows such a buffer after the commit reaches the target', async (t) => {
  const run = await between(t, { limits: {}, source: { strategy: 'passthrough' } });
  run.qemu.write(Buffer.concat([firstPass, end.subarray(0, -1), forged]));
  await run.frames.once((type) => type === 'commit');
  const before = run.streamedBytes();
  const rest = Buffer.concat([restOfDevice, build.number(1, 0), description]);
  run.qemu.write(rest);
  while (run.streamedBytes() < before + rest.length) await sleep(20);
  run.destination.send('started', Buffer.alloc(0));
  run.qemu.end();
  t.like(await run.outcome, { result: 'migrated' });
});

/** Pages that the list names; their content, which the guest's memory has, too. */
const listedPages = 1024;
const contentOf = (page: number): Buffer => Buffer.alloc(4096, 1 + (page % 255));

function listedGuest(): Pick<SourceOptions, 'ram' | 'requestList'> {
  const runs = emptyRuns(1);
  runs.count[0] = listedPages;
  const list = encodePageList({
    ...{ sources: [{ kind: 'disk', disk: 'vda' }], runs, pageCount: listedPages },
    ...{ guestRam: [[0, ramPages - 1]], leftOut: {}, failures: [] },
    timings: { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 },
    server: {
      ...{ product: 'other', version: '', method: 'scan' },
      ...{ cachedPages: 0, dirtyPages: 0, excludedPages: 0 },
    },
  });
  return {
    ram: {
      block: () => ({
        read: (page, count, into, offset) => {
          for (let i = 0; i < count; i++)
            into.fill(
              page + i < listedPages ? 1 + ((page + i) % 255) : 0,
              offset + i * 4096,
              offset + (i + 1) * 4096,
            );
        },
      }),
      map: () => [{ firstFrame: 0, pages: ramPages, blockIndex: 0, firstPage: 0 }],
      close: () => undefined,
    },
    requestList: () =>
      Promise.resolve({
        ...{ list: decodePageList(list), listBytes: list.length },
        timings: { cleanMs: 0, agentMs: 0, sendMs: 0, decodeMs: 0, totalMs: 0 },
      }),
  };
}

const settled = (pageCount: number): RestoreStatus => ({
  ...{ receivedPages: pageCount, pendingPages: 0, cursorPages: pageCount, restoredPages: pageCount },
  ...{ mismatchedPages: 0, unreadablePages: 0, cancelledPages: 0, storageBytes: 0, givenUpSources: [] },
});

/** An early resume whose QEMU ends as pre-copy, and stops in the middle of a device's buffer that looks like the end. */
async function forgedPackage(t: ExecutionContext, confirms: boolean): Promise<Between> {
  const run = await between(t, { limits: {}, confirms, acknowledges: true, source: listedGuest() });
  run.qemu.write(opening);
  await run.frames.once((type) => type === 'sources');
  run.destination.send('storage', encodeMessage({ storage: [{ usable: true, sizeBytes: ramPages * 4096 }] }));
  await sleep(200);
  run.qemu.write(
    Buffer.concat([
      build.sectionPart(2, ramSection),
      ...pages.map((page) => {
        const block = page === 0 ? 'ram0' : undefined;
        return page < listedPages ? build.page(block, page, contentOf(page)) : build.zeroPage(block, page);
      }),
      build.sectionEnd(ramSection),
    ]),
  );
  await run.events.once(({ event }) => event === 'first-pass-done');
  run.destination.send(
    'returnPath',
    encodeReturnPathMessage({ type: returnPathMessage.switchoverAck, data: Buffer.alloc(0) }),
  );
  const emptyPart = Buffer.concat([build.sectionPart(2, ramSection), build.sectionEnd(ramSection)]);
  const parts = setInterval(() => {
    run.qemu.write(emptyPart);
  }, 50);
  await run.events.once(({ event }) => event === 'gate-released');
  clearInterval(parts);
  run.qemu.write(Buffer.concat([end.subarray(0, -1), forged]));
  await run.frames.once((type) => type === 'confirm');
  return run;
}

test('an early resume whose package was made of such a buffer ends before the commit: the VM stays here', async (t) => {
  const run = await forgedPackage(t, false);
  await sleep(300);
  run.qemu.write(restOfDevice);
  await sleep(300);
  run.destination.send('confirmed', Buffer.alloc(0));
  const outcome = await run.outcome;
  t.is(outcome.result, 'failed');
  t.regex('error' in outcome ? outcome.error.message : '', /went on after/);
  t.false(run.frames.all.includes('commit'));
});

test('after the commit the target is left to refuse it, which leaves no doubt', async (t) => {
  const run = await forgedPackage(t, true);
  await run.frames.once((type) => type === 'commit');
  run.qemu.write(restOfDevice);
  // Nothing is pending: RAM's end is handed on, and what QEMU went on with could be read behind it.
  run.destination.send('status', encodeMessage(settled(run.plannedPages())));
  await sleep(500);
  t.false(run.events.all.some(({ event }) => event === 'in-doubt'));
  run.refuse();
  t.like(await run.outcome, { result: 'failed' });
});

test('a QEMU that does not begin is waited for, and only for so long', async (t) => {
  const run = await between(t, { limits: { startMs: 1000 } });
  const outcome = await run.outcome;
  t.is(outcome.result, 'failed');
  t.regex('error' in outcome ? outcome.error.message : '', /QEMU to migrate to the socket/);
});

test('a stream whose end is not described is given up in seconds, with the setting to change, not after the limit of any wait', async (t) => {
  const run = await between(t, {
    limits: { stallMs: 60_000 },
    source: { strategy: 'passthrough' },
  });
  const device = Buffer.concat([
    build.sectionStart(4, 9, 'timer', 2),
    build.number(8, 7),
    build.sectionEnd(9),
  ]);
  run.qemu.write(
    Buffer.concat([
      firstPass,
      ...[build.sectionPart(3, ramSection), build.sectionEnd(ramSection), device, build.number(1, 0)],
    ]),
  );
  const end = await run.outcome;
  t.is(end.result, 'failed');
  t.regex('error' in end ? end.error.message : '', /suppress-vmdesc=on/);
});
