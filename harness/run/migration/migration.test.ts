import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { engines, type StockEngine } from '../../../experiments/engines.ts';
import { LineSplitter } from '../../../foundation/line-splitter.ts';
import type { NewRunEvent } from '../../../record/event.ts';
import { manifest } from '../../../record/record.fixture.ts';
import { QmpClient } from '../../../qemu/qmp/client.ts';
import { setUpQemu } from './migration.ts';

const stock = (name: keyof typeof engines): StockEngine => {
  const engine = engines[name];
  if (engine.kind !== 'stock') throw new Error(`${name} is not stock QEMU`);
  return engine;
};

interface FakeQemu {
  readonly client: QmpClient;
  /** Arguments of the commands that it was given. */
  readonly asked: string[];
}

/** A QEMU that does all it is told, but for what has `unknown` in it, which it refuses as QEMU does. */
async function fakeQemu(t: ExecutionContext, unknown?: string): Promise<FakeQemu> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-qmp-'));
  const asked: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const lines = new LineSplitter();
    socket.on('error', () => undefined);
    socket.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
    socket.on('data', (chunk) => {
      for (const line of lines.push(chunk)) {
        const { id, arguments: given } = JSON.parse(line) as { id: number; arguments?: object };
        if (given !== undefined) asked.push(JSON.stringify(given));
        const answer =
          unknown !== undefined && line.includes(unknown)
            ? { error: { class: 'GenericError', desc: `does not accept value '${unknown}'` } }
            : { return: {} };
        socket.write(`${JSON.stringify({ id, ...answer })}\r\n`);
      }
    });
  });
  const file = path.join(folder, 'qmp.sock');
  await new Promise<void>((resolve) => server.listen(file, resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return { client: await QmpClient.connect(file), asked };
}

async function setUp(source: FakeQemu, target: FakeQemu, engine: StockEngine): Promise<NewRunEvent[]> {
  const events: NewRunEvent[] = [];
  await setUpQemu(
    {
      configuration: manifest.configuration,
      migrationGoodputBytesPerSecond: 15e6,
      source: source.client,
      target: target.client,
      log: { event: (event) => events.push(event) },
    },
    engine,
  );
  return events;
}

test('post-copy has its blocktime counted, on both sides', async (t) => {
  const [source, target] = [await fakeQemu(t), await fakeQemu(t)];
  t.deepEqual(await setUp(source, target, stock('postcopy')), []);
  for (const { asked } of [source, target])
    t.is(asked.at(-1), '{"capabilities":[{"capability":"postcopy-blocktime","state":true}]}');
});

test('a QEMU that cannot count it leaves a note, and post-copy goes on', async (t) => {
  const [source, target] = [await fakeQemu(t), await fakeQemu(t, 'postcopy-blocktime')];
  const [note, ...others] = await setUp(source, target, stock('postcopy'));
  t.like(note, {
    event: 'note',
    text: "without postcopy-blocktime: migrate-set-capabilities: does not accept value 'postcopy-blocktime'",
  });
  t.deepEqual(others, []);
});

test('what an engine cannot do without is an error', async (t) => {
  const [source, target] = [await fakeQemu(t), await fakeQemu(t, 'postcopy-ram')];
  const error = await t.throwsAsync(setUp(source, target, stock('postcopy')), {
    instanceOf: CodedError,
    name: 'QmpError',
  });
  t.is(error.code, 'command-failed');
});

test('other engines ask for nothing of post-copy', async (t) => {
  const [source, target] = [await fakeQemu(t), await fakeQemu(t, 'postcopy')];
  t.deepEqual(await setUp(source, target, stock('precopy')), []);
  t.notRegex(source.asked.join(), /postcopy/);
});
