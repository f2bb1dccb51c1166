import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { execa } from 'execa';
import { isCoded } from '../../foundation/coded-error.ts';
import type { NewRunEvent } from '../../record/event.ts';
import { QmpClient } from '../../qemu/qmp/client.ts';
import type { VmState } from '../vm/machine.ts';
import { RunWatch } from './run-watch.ts';

const ended = (): Promise<VmState> => Promise.resolve({ kind: 'absent' });
const runs = (): Promise<VmState> => Promise.resolve({ kind: 'running', qemuPid: 1 });

/** A log that keeps its events and tells its listeners, as RunLog does. */
function started() {
  const events: NewRunEvent[] = [];
  const listeners: ((event: NewRunEvent) => void)[] = [];
  const event = (one: NewRunEvent): void => {
    events.push(one);
    for (const listener of listeners) listener(one);
  };
  const watch = new RunWatch({
    event,
    onEvent: (listener) => listeners.push(listener),
    onFailure: () => undefined,
  });
  const gone = (): string => {
    const reason: unknown = watch.signal.reason;
    return isCoded(reason, 'run') ? `${reason.code}: ${reason.message}` : '';
  };
  return { watch, event, events, gone };
}

/** A QMP server that greets, and says what it is told to. */
async function qemu() {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const connecting = QmpClient.negotiate(input, output);
  input.write('{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}}, "capabilities": []}}\n');
  await once(output, 'data');
  input.write('{"return": {}, "id": 1}\n');
  const ended = async (): Promise<void> => {
    input.end();
    await once(input, 'close');
  };
  const shutdown = (reason: string): void => {
    const event = {
      event: 'SHUTDOWN',
      data: { guest: true, reason },
      timestamp: { seconds: 1, microseconds: 2 },
    };
    input.write(`${JSON.stringify(event)}\n`);
  };
  return { client: await connecting, shutdown, ended };
}

test('a guest that resets itself is named', async (t) => {
  const { watch, gone } = started();
  const vm = await qemu();
  watch.vm('src', vm.client, ended);
  vm.shutdown('guest-reset');
  await vm.ended();
  t.regex(gone(), /^vm-gone: the VM on src is gone: the guest reset itself .*console-src\.log/);
});

test('a QEMU that said nothing was killed, or it cannot be reached, which its host tells', async (t) => {
  const states: readonly (readonly [state: () => Promise<VmState>, said: RegExp])[] = [
    [ended, /^vm-gone: the VM on dst is gone: its QEMU ended without a word/],
    [runs, /^vm-gone: the VM on dst is out of reach: the connection to its QEMU broke, which runs on/],
    [
      () => Promise.reject(new Error('No route to host')),
      /^vm-gone: the VM on dst is out of reach: .* cannot be asked: No route to host/,
    ],
  ];
  for (const [state, said] of states) {
    const { watch, gone } = started();
    const vm = await qemu();
    const aborted = once(watch.signal, 'abort');
    watch.vm('dst', vm.client, state);
    await vm.ended();
    await aborted;
    t.regex(gone(), said);
  }
});

test('an end that its host sees a little later is one', async (t) => {
  const { watch, gone } = started();
  const vm = await qemu();
  const aborted = once(watch.signal, 'abort');
  const seen = [runs, runs, ended];
  watch.vm('src', vm.client, () => (seen.shift() ?? ended)());
  await vm.ended();
  await aborted;
  t.regex(gone(), /is gone: its QEMU ended without a word/);
});

test('the VM that the run has left, or that is to end, may go', async (t) => {
  const { watch, gone } = started();
  const [source, target] = [await qemu(), await qemu()];
  const notAsked = (): Promise<VmState> => {
    t.fail();
    return ended();
  };
  watch.vm('src', source.client, notAsked);
  watch.vm('dst', target.client, notAsked);
  await source.ended();
  t.is(gone(), '');
  watch.vmMayGo();
  await target.ended();
  t.is(gone(), '');
});

const connection = (detail: string): NewRunEvent => ({
  event: 'connection',
  at_ms: 1,
  host: 'client',
  probe: 'heartbeat',
  state: 'lost',
  detail,
});

test('a server whose machine refuses connections is gone, one that only lost a connection is not', (t) => {
  const { event, gone } = started();
  event(connection('Connection lost: The server closed the connection.'));
  t.is(gone(), '');
  event(connection('connect ECONNREFUSED 10.30.0.10:3306'));
  t.regex(gone(), /^server-gone: the database server in the VM is gone: .*10\.30\.0\.10:3306/);
});

test('a server that is restarted may go', (t) => {
  const { watch, event, gone } = started();
  watch.serverMayGo();
  event(connection('connect ECONNREFUSED 10.30.0.10:3306'));
  t.is(gone(), '');
});

test('a load that ended by itself is a failed check with its last words; one that goes on, or was asked to end, is not', (t) => {
  const { event, events, gone } = started();
  const when = { at_ms: 1, host: 'client' as const };
  const ended = (end: 'asked' | 'by-itself' | 'again'): NewRunEvent => ({
    event: 'workload-ended',
    ...when,
    exit_code: 1,
    signal: null,
    end,
    figures: {},
  });
  event(ended('again'));
  event(ended('asked'));
  t.is(gone(), '');
  for (const text of ['FATAL: unable to connect to MySQL server', 'x'])
    event({ event: 'output', ...when, name: 'sysbench', stream: 'stderr', text });
  event(ended('by-itself'));
  t.is(
    gone(),
    'load-stopped: the load has stopped: sysbench ended by itself (exit code 1, FATAL: unable to connect to MySQL server)',
  );
  t.like(events.at(-1), { event: 'check', name: 'load', ok: false });
});

/** The error of a run that is recorded under a limit of file sizes, as on a full disk: its watch ends it. */
const unrecorded = `
const [{ RunLog }, { RunWatch }] = await Promise.all(process.argv.slice(2).map((module) => import(module)));
const log = await RunLog.create(process.argv[1]);
const { signal } = new RunWatch(log);
for (let at_ms = 0; at_ms < 600 && !signal.aborted; at_ms += 1) {
  log.event({ event: 'note', at_ms, text: 'x'.repeat(1000) });
  await new Promise((resolve) => setTimeout(resolve, 100));
}
console.log(signal.aborted ? signal.reason.message : 'it went on');
await log.close().catch(({ code, cause }) => console.log(code, cause.code));
`;

test('a run that cannot be recorded ends at once, with the reason', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-watch-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const modules = ['../../record/run-log.ts', './run-watch.ts'].map((file) =>
    path.join(import.meta.dirname, file),
  );
  const { stdout } = await execa('bash', [
    ...['-c', 'ulimit -f 4; exec "$@"', 'bash', process.execPath, '--input-type=module', '-e', unrecorded],
    ...[path.join(folder, 'run'), ...modules],
  ]);
  t.regex(stdout, /^the record in .*\/run is not complete: EFBIG: .*\nnot-writable EFBIG$/);
});
