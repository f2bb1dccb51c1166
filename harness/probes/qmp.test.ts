/** The QMP probe against a real QEMU, where one is installed. About 3 s. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { findQemu } from '../../qemu/find-qemu.ts';
import { startQmp } from './qmp.ts';
import type { ProbeReport } from './report.ts';
import { nowMs } from './wall-clock.ts';

const qemu = findQemu()?.installation;

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries === 3000) throw new Error('waited 60 s in vain');
    await sleep(20);
  }
}

(qemu === undefined ? test.skip : test)('follows a QEMU that starts late, migrates, and ends', async (t) => {
  if (qemu === undefined) return;
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-qmp-'));
  const socket = path.join(folder, 'probe');
  const control = path.join(folder, 'control');
  const reports: ProbeReport[] = [];
  const startedMs = nowMs();
  const probe = startQmp({ probe: 'qmp', socket, intervalMs: 10 }, (report) => reports.push(report));
  await sleep(200);
  t.deepEqual(reports, [], 'no socket yet');

  const vm = spawn(
    qemu.command,
    [
      ...qemu.leadingArguments,
      '-machine',
      'pc',
      '-accel',
      'tcg',
      '-m',
      '64',
      '-nodefaults',
      '-display',
      'none',
      '-S',
    ]
      .concat(['-qmp', `unix:${socket},server=on,wait=off`])
      .concat(['-qmp', `unix:${control},server=on,wait=off`]),
    { stdio: 'ignore', env: { ...process.env, ...qemu.environment } },
  );
  const exited = once(vm, 'exit');
  try {
    await until(() => reports.some((report) => report.report === 'connection'));
    const commands = createConnection(control);
    const send = (execute: string, args: object = {}): void =>
      void commands.write(JSON.stringify({ execute, arguments: args }));
    send('qmp_capabilities');
    send('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
    send('migrate-set-parameters', { 'max-bandwidth': 20_000 });
    await sleep(300);
    t.false(
      reports.some((report) => report.report === 'migration'),
      'nothing to say before there is a migration',
    );
    send('migrate', { uri: 'exec:cat >/dev/null' });
    const statuses = (): string[] =>
      reports.filter((report) => report.report === 'migration').map((report) => report.status);
    await until(() => statuses().filter((status) => status === 'active').length > 5);
    send('migrate-set-parameters', { 'max-bandwidth': 1_000_000_000 });
    await until(() => statuses().includes('completed'));
    await sleep(100);
    t.is(statuses().filter((status) => status === 'completed').length, 1, 'an ended migration is told once');

    const active = reports.find((report) => report.report === 'migration' && report.status === 'active');
    const final = reports.findLast((report) => report.report === 'migration');
    t.true((active?.report === 'migration' ? active.figures['ram.remaining'] : 0) !== undefined);
    t.is(final?.figures['ram.remaining'], 0);
    t.true((final?.figures['ram.total'] ?? 0) >= 64 * 2 ** 20);

    send('quit');
    await exited;
    await until(() => reports.some((report) => report.report === 'connection' && report.state === 'lost'));
    commands.destroy();
  } finally {
    vm.kill('SIGKILL');
    await exited;
    await probe.stop();
    await rm(folder, { recursive: true });
  }

  const events = reports.filter((report) => report.report === 'qmp-event');
  const migration = events.filter((event) => event.name === 'MIGRATION').map((event) => event.data['status']);
  t.deepEqual([migration[0], migration.at(-1)], ['setup', 'completed']);
  t.true(events.some((event) => event.name === 'SHUTDOWN'));
  for (const { at, receivedAt } of events) {
    t.true(at > startedMs && at <= receivedAt + 5 && receivedAt <= nowMs(), 'times are of the wall clock');
  }
});
