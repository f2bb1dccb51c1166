/** The recorder as it is deployed, on this machine. About 8 s. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test from 'ava';
import { bundleProgram } from './bundle.ts';
import { localShell } from './local-shell.fixture.ts';
import { startRecorder } from './recorder-process.ts';
import type { ProbeReport } from './report.ts';

const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-recorder-'));
process.env['POOLSHIFT_CACHE'] = folder;
const bundle = await bundleProgram('recorder', () => undefined);

test.after.always(() => rm(folder, { recursive: true }));

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Reports of one kind. */
function only<Kind extends ProbeReport['report']>(reports: readonly ProbeReport[], kind: Kind) {
  return reports.filter((report): report is Extract<ProbeReport, { report: Kind }> => report.report === kind);
}

test('the bundle comes from the cache the second time', async (t) => {
  t.is(
    await bundleProgram('recorder', (line) => {
      t.fail(line);
    }),
    bundle,
  );
});

test('network counters, machine load, a command and the clock', async (t) => {
  const reports: ProbeReport[] = [];
  const recorder = startRecorder(
    localShell,
    [
      { probe: 'nic', interfaces: { service: 'lo', storage: 'no-such-interface' }, intervalMs: 50 },
      { probe: 'load', pids: { test: process.pid, gone: 2 ** 30 }, intervalMs: 200 },
      { probe: 'lines', name: 'words', command: ['sh', '-c', "echo it\\'s; sleep 1; printf end; exit 3"] },
      { probe: 'lines', name: 'missing', command: ['/no/such/command'] },
      { probe: 'lines', name: 'long', command: ['sleep', '1000'] },
    ],
    (report) => reports.push(report),
    bundle,
  );
  const startedMs = Date.now();
  const offset = await recorder.measureClock();
  t.true(
    Math.abs(offset.offsetMs) < offset.uncertaintyMs + 5,
    `offset ${offset.offsetMs} ms to the same clock`,
  );
  while (!only(reports, 'exit').some(({ name }) => name === 'words')) await sleep(20);
  await recorder.stop();
  t.is(await recorder.ended, undefined);
  const endedMs = Date.now();
  await t.throwsAsync(recorder.measureClock(), { code: 'ended' });

  const nic = only(reports, 'nic');
  t.true(nic.length >= 8, `${nic.length} counters in more than 1 s`);
  t.deepEqual(Object.keys(nic[0]?.networks ?? {}), ['service']);
  for (const [index, { at }] of nic.entries()) {
    t.true(at > (nic[index - 1]?.at ?? startedMs - 1000) && at < endedMs + 1000);
  }

  const load = only(reports, 'load');
  t.true(load.length >= 3);
  t.true(load.every(({ cpuPercent }) => cpuPercent >= 0 && cpuPercent <= 100));
  t.true(load.every(({ memAvailableBytes }) => memAvailableBytes > 2 ** 20));
  t.deepEqual(Object.keys(load[0]?.processes ?? {}), ['test']);
  t.true((load[0]?.processes['test']?.rssBytes ?? 0) > 2 ** 20);

  const words = only(reports, 'line').filter((line) => line.name === 'words');
  t.deepEqual(
    words.map((line) => line.text),
    ["it's", 'end'],
  );
  t.true((words[1]?.at ?? 0) - (words[0]?.at ?? 0) > 300, 'each line has the time at which it came');
  const exits = new Map(only(reports, 'exit').map((exit) => [exit.name, exit]));
  t.is(exits.get('words')?.exitCode, 3);
  t.is(exits.get('long')?.signal, 'SIGTERM', 'a command that runs on is ended with the recorder');
  t.deepEqual(
    only(reports, 'failed').map(({ probe }) => probe),
    ['nic', 'missing'],
  );
});

// Alone: the tests beside it time what they see.
test.serial('a command that lost its server is started again, once the server listens', async (t) => {
  const reports: ProbeReport[] = [];
  const server = createServer((socket) => socket.destroy());
  const listen = async (port: number): Promise<number> => {
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  await promisify(server.close.bind(server))();
  const recorder = startRecorder(
    localShell,
    [
      {
        probe: 'lines',
        name: 'load',
        command: ['sh', '-c', 'echo started; sleep 0.1; exit 1'],
        restart: { host: '127.0.0.1', port },
      },
    ],
    (report) => reports.push(report),
    bundle,
  );
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await sleep(20);
  };
  await until(() => only(reports, 'exit').length === 1);
  await sleep(600);
  t.is(only(reports, 'line').length, 1, 'nothing listens');
  await listen(port);
  await until(() => only(reports, 'exit').length >= 3);
  await recorder.stop();
  const starts = only(reports, 'line').length;
  t.is(only(reports, 'exit').length, starts);
  await sleep(400);
  t.is(only(reports, 'line').length, starts, 'not after the recorder was stopped');
  await promisify(server.close.bind(server))();
});

test.serial('a command is started again only after what it is to be started again for', async (t) => {
  const reports: ProbeReport[] = [];
  const server = createServer((socket) => socket.destroy());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  // Says it the first time, and not the second time.
  const command = [
    'sh',
    '-c',
    'if mkdir "$0" 2> /dev/null; then echo its queue is full >&2; fi; exit 1',
  ] as const;
  const recorder = startRecorder(
    localShell,
    [
      {
        probe: 'lines',
        name: 'load',
        command: [...command, path.join(folder, 'second')],
        restart: { host: '127.0.0.1', port, ifItSaid: 'queue is full' },
      },
    ],
    (report) => reports.push(report),
    bundle,
  );
  while (only(reports, 'exit').length < 2) await sleep(20);
  await sleep(400);
  await recorder.stop();
  t.deepEqual(
    only(reports, 'exit').map(({ end }) => end),
    ['again', 'by-itself'],
  );
});

test('a recorder that dies says why', async (t) => {
  const recorder = startRecorder(localShell, [], () => undefined, '/no/such/recorder.js');
  const error = await recorder.ended;
  t.is(error?.code, 'ended');
  t.regex(error?.message ?? '', /Cannot find module/);
});

(isInstalled('fping') && process.getuid?.() === 0 ? test : test.skip)(
  'ping: an interface that is down for 300 ms is one gap of 300 ms',
  async (t) => {
    const reports: ProbeReport[] = [];
    // A network namespace of its own, so that its loopback interface can be taken down.
    const inNamespace = {
      ...localShell,
      spawn: (command: string) =>
        localShell.spawn(
          `exec unshare --net sh -c 'ip link set lo up; exec "$@"' - ${command.replace(/^exec /, '')}`,
        ),
    };
    const recorder = startRecorder(
      inNamespace,
      [
        { probe: 'ping', address: '127.0.0.1' },
        {
          probe: 'lines',
          name: 'outage',
          command: ['sh', '-c', 'sleep 1; ip link set lo down; sleep 0.3; ip link set lo up'],
        },
      ],
      (report) => reports.push(report),
      bundle,
    );
    const longestGap = () => only(reports, 'gap').toSorted((a, b) => b.gapMs - a.gapMs)[0];
    while ((longestGap()?.gapMs ?? 0) < 300) await sleep(100);
    await sleep(500);
    await recorder.stop();
    t.deepEqual(only(reports, 'failed'), []);
    const longest = longestGap();
    t.is(longest?.gapMs, (longest?.toMs ?? 0) - (longest?.fromMs ?? 0));
    const ended = reports.findLast((report) => report.report === 'probe-ended');
    t.is(ended?.longestGapMs, longest?.gapMs);
    // A request every 5 ms; on a busy machine, fewer.
    t.true((ended?.answers ?? 0) > 50, `${ended?.answers ?? 0} answers`);
  },
);
