/** Engines without systemd, started, followed, found and ended, with a /run of their own. */
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import type { Following, OperatedHost } from './host.ts';
import { LaunchedEngine, parseEvent, plainName, unitOf } from './launch.ts';

const fixture = path.join(import.meta.dirname, 'launch.fixture.ts');
const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('an engine that nobody supervises', async (t) => {
  const { stdout } = await execa('unshare', [
    ...['--mount', 'bash', '-c', 'mount -t tmpfs tmpfs /run; exec "$0" "$1"', process.execPath, fixture],
  ]);
  const steps = stdout.split('\n').map((line) => JSON.parse(line) as { step: string; what: unknown });
  t.deepEqual(steps, [
    { step: 'key', what: '600 root' },
    { step: 'event', what: 'listening' },
    { step: 'key', what: 'gone' },
    { step: 'status', what: [true, 'listening', null] },
    { step: 'event', what: 'cancelled' },
    { step: 'status', what: [false, 'cancelled', 'cancelled'] },
    { step: 'abandoned', what: ['vm3', true, 'listening'] },
    { step: 'abandoned', what: ['vm4', false, 'cancelled'] },
    { step: 'abandoned', what: ['vm5', true, 'listening'] },
    { step: 'full', what: 'the engine has not started' },
    { step: 'runs', what: '' },
    { step: 'kept', what: [true, true, true, false, true] },
  ]);
});

test('names that fit a unit and a path', (t) => {
  t.is(plainName('db-1.example'), 'db-1.example');
  t.regex(plainName('my vm/1 $x'), /^my_vm_1__x-[0-9a-f]{8}$/);
  t.regex(unitOf('source', 'my vm'), /^poolshift-source-my_vm-[0-9a-f]{8}$/);
  t.regex(plainName('-foo'), /^_foo-/);
  t.regex(plainName('.foo'), /^_foo-/);
});

test('names that differ stay different, however they are spelt, and so does none that is long', (t) => {
  const long = 'a'.repeat(60);
  const names = [
    '販売',
    '在庫',
    'vm 1',
    'vm_1',
    'vm-1',
    '-vm',
    '_vm',
    `${long}1`,
    `${long}2`,
    'a'.repeat(40),
  ];
  const plain = names.map(plainName);
  t.is(new Set(plain).size, names.length);
  for (const name of plain) {
    t.true(name.length <= 40, name);
    t.is(plainName(name), name);
  }
});

test('a line that is no event is passed over', (t) => {
  t.is(parseEvent('noise'), undefined);
  t.is(parseEvent('{"event":5}'), undefined);
  t.deepEqual(parseEvent('{"event":"progress","pages_pending":3,"of_another_version":"x"}'), {
    event: 'progress',
    fields: { pages_pending: 3, of_another_version: 'x' },
  });
});

test('events of an engine whose host is lost for a while are read on from where they were cut', async (t) => {
  const events = [
    '{"event":"listening"}',
    '{"event":"may-move"}',
    '{"event":"committed"}',
    '{"event":"done"}',
  ];
  const heard: string[] = [];
  let follows = 0;
  // The way is lost in the middle of a line, then is not found again at once.
  const shown = [[...events.slice(0, 2), '{"event":"comm'], [], events.slice(2)];
  const host = {
    name: 'src',
    run: () => Promise.resolve(''),
    follow: (script: string): Following => {
      const from = Number(/tail -n \+(\d+)/.exec(script)?.[1]);
      t.is(from, follows === 0 ? 1 : 3);
      const lines = shown[follows] ?? [];
      follows += 1;
      return {
        lines: (async function* () {
          yield* await Promise.resolve(lines);
        })(),
        end: Promise.resolve(follows < shown.length ? 'lost' : 'ended'),
        stop: () => undefined,
      };
    },
  };
  const engine = await LaunchedEngine.start(host as unknown as OperatedHost, {
    ...{ id: 'vm1-0a', vm: 'vm1', role: 'source', command: 'engine' },
    onEvent: ({ event }) => heard.push(event),
    onHeard: (isHeard) => heard.push(isHeard ? 'heard again' : 'lost'),
  });
  await engine.ended;
  t.deepEqual(heard, ['listening', 'may-move', 'lost', 'heard again', 'committed', 'done']);
});

test('an engine that is left while its host is lost is not followed again', async (t) => {
  let follows = 0;
  const host = {
    name: 'src',
    run: () => Promise.resolve(''),
    follow: (): Following => {
      follows += 1;
      return {
        lines: (async function* () {
          yield* await Promise.resolve([]);
        })(),
        end: Promise.resolve('lost'),
        stop: () => undefined,
      };
    },
  };
  const lost = Promise.withResolvers<undefined>();
  const engine = await LaunchedEngine.start(host as unknown as OperatedHost, {
    ...{ id: 'vm1-0a', vm: 'vm1', role: 'source', command: 'engine' },
    onEvent: () => undefined,
    onHeard: () => {
      lost.resolve(undefined);
    },
  });
  await lost.promise;
  engine.leave();
  await engine.ended;
  t.is(follows, 1);
});
