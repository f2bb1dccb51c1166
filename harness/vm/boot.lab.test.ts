/** A MariaDB guest in the local lab: start, first answer, a stock migration, failures, stop. Takes about a minute. */
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Testbed } from '../testbed/host.ts';
import { runSql } from '../workload/sql-client.ts';
import { mariadbGuest as server, prepareGuestLab } from './guest.fixture.ts';
import { consoleTail, parseBootSteps, startVm, stopVm, vmState, waitForServer } from './machine.ts';
import { firstVm } from './vm-place.ts';
import type { QmpClient } from '../../qemu/qmp/client.ts';
import { prepareVmHost } from './vm-host.ts';

test('a guest starts, answers, and is stopped; what fails says why', async (t) => {
  t.timeout(15 * 60_000);
  const log = (line: string): void => {
    t.log(line);
  };
  const { testbed, machine, serverVersion } = await prepareGuestLab(t, {
    owner: 'boot.lab.test.ts',
    rates: { migration: 500e6, storage: 500e6, service: 125e6 },
    rowsPerTable: 20_000,
    agent: false,
    log,
  });
  const { src, dst, client } = testbed.hosts;
  await prepareVmHost(src, testbed); // again: idempotent

  const missing = { ...machine, kernelPath: '/nonexistent/vmlinuz' };
  const refused = await t.throwsAsync(startVm(src, missing), { instanceOf: CodedError, name: 'VmError' });
  t.is(refused.code, 'start-failed');
  t.regex(refused.message, /^src: .*\n?[^]*\/nonexistent\/vmlinuz/);
  t.is((await vmState(src)).kind, 'absent');

  const startedMs = performance.now();
  const qmp = await startVm(src, machine);
  t.is((await vmState(src)).kind, 'running');
  t.is(
    (await t.throwsAsync(startVm(src, machine), { instanceOf: CodedError, name: 'VmError' })).code,
    'already-running',
  );
  t.is(
    (
      await t.throwsAsync(qmp.execute('migrate-incoming', { uri: 'tcp:0:1' }), {
        instanceOf: CodedError,
        name: 'QmpError',
      })
    ).code,
    'command-failed',
  );
  t.is(await waitForServer({ client, vmHost: src, server, timeoutMs: 120_000 }), serverVersion);
  t.log(`first answer after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [['20000']]);

  const { stdout: console } = await src.run(`cat ${firstVm.machine.paths.console}`);
  const steps = parseBootSteps(console).map((step) => step.what);
  t.deepEqual(steps.slice(0, 4), ['initrd', 'boot', 'network', 'server-up'], await consoleTail(src));
  const { stdout: ram } = await src.run(`stat --format=%s ${firstVm.machine.paths.ram}`);
  t.is(Number(ram), machine.memoryBytes);
  // Nobody else on the host may look at the guest, nor speak for it.
  const ofTheGuest = [
    firstVm.machine.paths.ram,
    firstVm.machine.paths.console,
    firstVm.machine.paths.controlSocket,
    firstVm.machine.paths.agentSocket,
  ].join(' ');
  t.is((await src.run(`stat --format=%A ${ofTheGuest} | grep -v -- '------$' || true`)).stdout, '');
  t.is((await src.run('stat --format=%A /run/poolshift')).stdout.trim(), 'drwx------');

  t.deepEqual(await qmp.execute('query-status'), { status: 'running', running: true });

  const target = await startVm(dst, { ...machine, role: 'target' });
  await migrate(testbed, qmp, target);
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest1'), [['20000']]);
  await stopVm(src);

  await target.execute('stop');
  const unanswered = waitForServer({ client, vmHost: dst, server, timeoutMs: 2000 });
  const notReady = await t.throwsAsync(unanswered, { instanceOf: CodedError, name: 'VmError' });
  t.is(notReady.code, 'not-ready');
  t.regex(notReady.message, /did not answer within 2000 ms/);

  await stopVm(dst);
  await stopVm(dst); // idempotent
  t.deepEqual(await vmState(dst), { kind: 'absent' });
  await t.throwsAsync(target.execute('cont'), { instanceOf: CodedError, name: 'QmpError' });
  const left = await dst.run(`ls ${firstVm.machine.paths.ram} ${firstVm.machine.paths.controlSocket}`, {
    okExitCodes: [2],
  });
  t.is(left.stdout, '');
});

/** Stock pre-copy; ends when the target was continued, after the source's word that it is done. */
async function migrate(testbed: Testbed, source: QmpClient, target: QmpClient): Promise<void> {
  const uri = `tcp:${testbed.networks.migration.addresses.dst}:4444`;
  for (const end of [source, target])
    await end.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
  await target.execute('migrate-incoming', { uri });
  const limit = { timeoutMs: 120_000 };
  const stopped = source.waitForEvent((event) => event.name === 'STOP', limit);
  const resumed = target.waitForEvent((event) => event.name === 'RESUME', limit);
  const completed = source.waitForEvent(
    (event) => event.name === 'MIGRATION' && event.data['status'] === 'completed',
    limit,
  );
  await source.execute('migrate', { uri });
  await Promise.all([stopped, completed]);
  await target.execute('cont');
  await resumed;
}
