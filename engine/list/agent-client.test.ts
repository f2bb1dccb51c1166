import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { requestPageList, requestStatus } from './agent-client.ts';
import { formatAnswer, RequestReader } from './agent-protocol.ts';
import { unpackAll } from './packed-runs.ts';
import { encodePageList } from './page-list-codec.ts';
import type { PageList } from './page-list.ts';

const list: PageList = {
  sources: [{ kind: 'disk', disk: 'pool0' }],
  runs: {
    firstColdRun: 2,
    sourceIndex: Uint16Array.of(0, 0),
    storageBlock: Uint32Array.of(100, 200),
    guestFrame: Uint32Array.of(7000, 6000),
    count: Uint16Array.of(4, 8),
  },
  pageCount: 12,
  guestRam: [[1, 9000]],
  timings: { findMs: 1, translateMs: 2, mapMs: 3, encodeMs: 4 },
  leftOut: {},
  failures: [],
  server: {
    product: 'mysql',
    version: '9.7.4',
    method: 'scan',
    cachedPages: 3,
    dirtyPages: 0,
    excludedPages: 0,
  },
};

/** A port that answers each request with what `answer` writes, as QEMU's end of the channel would. */
async function port(t: ExecutionContext, answer: (id: string, socket: Socket) => void): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'agent-'));
  const path = join(folder, 'agent.sock');
  const server = createServer((socket) => {
    const reader = new RequestReader();
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      for (const request of reader.push(chunk)) answer(request.id, socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  return path;
}

async function code(asked: Promise<unknown>): Promise<string> {
  try {
    await asked;
  } catch (error) {
    if (isCoded(error, 'agent') || isCoded(error, 'page-list')) return error.code;
    throw error;
  }
  return 'no error';
}

const header = (id: string, byteLength: number): Buffer =>
  formatAnswer(id, { status: 'list', byteLength, cleanMs: 5, totalMs: 9 });

test('a list comes through behind stale bytes, in pieces, with the time that sending took', async (t) => {
  const bytes = encodePageList(list);
  const path = await port(t, (id, socket) => {
    socket.write('stale bytes\nPOOLSHIFT 00 {"status":"list","byteLength":99}\n...');
    socket.write(formatAnswer(id, { status: 'working' }));
    socket.write(Buffer.concat([header(id, bytes.length), bytes.subarray(0, 10)]));
    setTimeout(() => socket.write(bytes.subarray(10)), 60);
  });
  const answer = await requestPageList(path);
  t.deepEqual(unpackAll(answer.list.runs), list.runs);
  t.is(answer.listBytes, bytes.length);
  t.is(answer.timings.cleanMs, 5);
  t.is(answer.timings.agentMs, 9);
  // On a busy machine both pieces may be read at once.
  t.true(answer.timings.sendMs > 0 && answer.timings.sendMs <= answer.timings.totalMs);
});

test('every way to fail has its code', async (t) => {
  const bytes = encodePageList(list);
  t.is(await code(requestPageList('/nonexistent/agent.sock')), 'no-socket');

  const silent = await port(t, () => undefined);
  t.is(await code(requestStatus(silent, { firstAnswerTimeoutMs: 50 })), 'no-agent');
  t.is(await code(requestStatus(silent, { signal: AbortSignal.timeout(50) })), 'aborted');
  t.is(await code(requestStatus(silent, { signal: AbortSignal.abort() })), 'aborted');

  const slow = await port(t, (id, socket) =>
    socket.write(Buffer.concat([header(id, 50), bytes.subarray(0, 9)])),
  );
  t.is(await code(requestPageList(slow, { timeoutMs: 80 })), 'timeout');

  const refusing = await port(t, (id, socket) =>
    socket.write(formatAnswer(id, { status: 'error', code: 'no-server', message: 'no server runs' })),
  );
  const refusal = await t.throwsAsync(requestPageList(refusing), {
    instanceOf: CodedError,
    name: 'AgentError',
  });
  t.is(refusal.code, 'refused');
  t.regex(refusal.message, /no server runs/);

  const long = await port(t, (id, socket) => socket.write(header(id, 1001)));
  t.is(await code(requestPageList(long, { maxListBytes: 1000 })), 'invalid-answer');

  const closing = await port(t, (id, socket) => socket.end(header(id, 50)));
  t.is(await code(requestPageList(closing)), 'closed');

  const lying = await port(t, (id, socket) =>
    socket.write(Buffer.concat([header(id, bytes.length), Buffer.from(bytes).fill(1, 30, 60)])),
  );
  t.is(await code(requestPageList(lying)), 'malformed');

  const whole = await port(t, (id, socket) => socket.write(Buffer.concat([header(id, bytes.length), bytes])));
  t.is(await code(requestPageList(whole, { maxPages: 11 })), 'too-large');
  t.is(await code(requestStatus(whole)), 'invalid-answer');
});
