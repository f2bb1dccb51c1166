/** The client against a real QEMU, where one is installed. About 3 s. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { CodedError } from '../foundation/coded-error.ts';
import { findQemu } from './find-qemu.ts';
import { Qemu } from './qemu-process.ts';
import { QmpClient } from './qmp/client.ts';

const installation = findQemu()?.installation;
const withQemu = installation === undefined ? test.skip : test;

async function start(...args: readonly string[]): Promise<Qemu> {
  if (installation === undefined) throw new Error('no QEMU');
  return Qemu.start(installation, ['-machine', 'pc', '-accel', 'tcg', '-m', '16', ...args]);
}

withQemu('answers are typed, refusals are told, events have the time of the clock', async (t) => {
  const beganMs = Date.now();
  const qemu = await start();
  t.teardown(() => qemu.stop());
  t.like(await qemu.execute('query-status'), { status: 'running', running: true });
  t.is((await qemu.execute('query-migrate')).status, undefined);
  const refused = await t.throwsAsync(qemu.execute('migrate-incoming', { uri: 'tcp:0:1' }), {
    instanceOf: CodedError,
    name: 'QmpError',
    message: /^migrate-incoming: '-incoming' was not specified on the command line/,
  });
  t.is(refused.code, 'command-failed');
  await qemu.execute('stop');
  await qemu.execute('cont');
  t.deepEqual(
    qemu.events.map(({ name }) => name).filter((name) => name !== 'RTC_CHANGE'),
    ['STOP', 'RESUME'],
  );
  for (const { atMs, receivedAtMs } of qemu.events) {
    t.true(atMs > beganMs - 1000, 'it is a time of day');
    t.true(atMs <= receivedAtMs + 1000);
  }
});

withQemu('a command has a limit; an answer that comes later is not taken for the next one', async (t) => {
  const qemu = await start();
  t.teardown(() => qemu.stop());
  if (qemu.pid === undefined) throw new Error('it has ended');
  process.kill(qemu.pid, 'SIGSTOP');
  const late = await t.throwsAsync(qemu.execute('query-status', {}, { timeoutMs: 50 }), {
    instanceOf: CodedError,
    name: 'QmpError',
  });
  t.is(late.code, 'timeout');
  process.kill(qemu.pid, 'SIGCONT');
  t.is((await qemu.execute('query-migrate')).status, undefined);
  t.is((await qemu.execute('query-status')).status, 'running');
});

withQemu('a QEMU that ends takes its commands with it', async (t) => {
  const qemu = await start();
  if (qemu.pid === undefined) throw new Error('it has ended');
  process.kill(qemu.pid, 'SIGSTOP');
  const waiting = t.throwsAsync(qemu.execute('query-status'), { instanceOf: CodedError, name: 'QmpError' });
  await qemu.stop();
  t.is((await waiting).code, 'connection-lost');
  t.is(
    (await t.throwsAsync(qemu.execute('stop'), { instanceOf: CodedError, name: 'QmpError' })).code,
    'connection-lost',
  );
});

withQemu('a QEMU that does not start says why', async (t) => {
  const error = await t.throwsAsync(start('-device', 'no-such-device'), {
    instanceOf: CodedError,
    name: 'QmpError',
  });
  t.is(error.code, 'connect-failed');
  t.regex(error.message, /no-such-device/);
});

withQemu('a command out of band where the client asked for them', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-qmp-'));
  const socket = path.join(folder, 'qmp');
  const qemu = await start('-qmp', `unix:${socket},server=on,wait=off`);
  t.teardown(async () => {
    await qemu.stop();
    await rm(folder, { recursive: true });
  });
  const withThem = await QmpClient.connect(socket, { outOfBand: true });
  // QEMU knows the way: it refuses the command, which may not go it.
  await t.throwsAsync(withThem.execute('query-status', {}, { outOfBand: true }), {
    instanceOf: CodedError,
    name: 'QmpError',
    message: /does not support OOB/,
  });
  withThem.close();
  const without = await QmpClient.connect(socket);
  await t.throwsAsync(without.execute('query-status', {}, { outOfBand: true }), {
    instanceOf: CodedError,
    name: 'QmpError',
    message: /QMP input member 'exec-oob' is unexpected|Out-of-band/,
  });
  without.close();
});
