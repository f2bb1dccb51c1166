/**
 * `poolshift migrate --source-qmp`, between two QEMUs that somebody else started: aborted while pages come from storage, and carried
 * out without its terminal. About three minutes under TCG.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { makeCertificates } from '../../../engine/cli/testing/certificates.ts';
import type { Host } from '../../testbed/host.ts';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { startVm, stopVm, waitForServer } from '../../vm/machine.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { runSql } from '../../workload/sql-client.ts';
import { Command, installPackage, isMissingPages, joinBySsh, limitLinks } from './operate.fixture.ts';

const rowsPerTable = 200_000;
const tlsFolder = '/etc/poolshift-pki';

/** @param names subjectAltName of the destination */
async function giveCertificates(hosts: readonly Host[], names: string): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-certificates-'));
  try {
    const made = path.join(folder, 'pki');
    makeCertificates(made, names);
    for (const host of hosts) await host.copyTo(made, tlsFolder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('poolshift migrate, between two QEMUs without libvirt', async (t) => {
  t.timeout(30 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const { testbed, machine } = await prepareGuestLab(t, {
    owner: 'operate-qemu.lab.test.ts',
    rates: { migration: 250e6, storage: 62.5e6, service: 125e6 },
    rowsPerTable,
    agent: true,
    log,
  });
  const { src, dst, client } = testbed.hosts;
  await joinBySsh(testbed, 'src', ['dst']);
  await installPackage([src, dst], log);
  const source = await startVm(src, machine);
  t.teardown(() => stopVm(src));
  t.teardown(() => stopVm(dst));
  await waitForServer({ client, vmHost: src, server, timeoutMs: 300_000 });
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  log('the tables are read');

  // The control socket is the harness's own.
  const qmp = firstVm.machine.paths.recorderSocket;
  const vm = `--source-qmp ${qmp} --target-qmp ssh://dst${qmp}`;
  const migrate = (options = ''): Command => {
    const command = new Command(src, vm, `--available-switchover-bandwidth 28 ${options}`);
    t.teardown(() => command.stop());
    return command;
  };

  await startVm(dst, { ...machine, role: 'target' });
  const checked = await src.run(`poolshift check ${vm}`, { timeoutMs: 180_000 });
  log(checked.stdout);
  t.regex(checked.stdout, /^ok +agent: mariadb .* lists \d+ pages$/m);
  t.regex(checked.stdout, /^ok +target: waits for a migration$/m);
  await source.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'multifd', state: true }],
  });
  const multifd = await src.run(`poolshift migrate ${vm}`, { okExitCodes: [4], timeoutMs: 180_000 });
  t.regex(multifd.stdout, /^NO +multifd: is switched on/m);
  t.regex(multifd.stderr, /nothing was started; --method plain migrates without the engines/);
  await source.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'multifd', state: false }],
  });

  const aborted = migrate('--method restore');
  await aborted.restoring();
  await aborted.signal('INT');
  t.is(await aborted.ended, 130, aborted.errors);
  t.is(aborted.end?.['outcome'], 'cancelled');
  t.is((await source.execute('query-status')).status, 'running');
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest1'), [[String(rowsPerTable)]]);
  log('aborted');

  // A target waits once: QEMU ends when its migration has failed.
  await stopVm(dst);
  const target = await startVm(dst, { ...machine, role: 'target' });
  const moved = migrate();
  await moved.restoring();
  // Its terminal is lost.
  await moved.signal('HUP');
  t.is(await moved.ended, 0, moved.errors);
  log(JSON.stringify(moved.end));
  t.is(moved.end?.['outcome'], 'migrated');
  t.true(Number(moved.end?.['pagesVerified']) > 5000, 'the pool came from storage');
  t.is((await source.execute('query-status')).status, 'postmigrate');
  t.is((await target.execute('query-status')).status, 'running');
  await waitForServer({ client, vmHost: dst, server, timeoutMs: 120_000 });
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [[String(rowsPerTable)]]);

  // Back, before all of it is there.
  await stopVm(src);
  const back = await startVm(src, { ...machine, role: 'target' });
  await joinBySsh(testbed, 'dst', ['src']);
  await giveCertificates([src, dst], 'DNS:src');
  // So slow that it is there before its pool is.
  await limitLinks(testbed, 'dst', 30, 8);
  const early = new Command(
    dst,
    `--source-qmp ${qmp} --target-qmp ssh://src${qmp}`,
    `--method resume --before-switch 0 --tls-dir ${tlsFolder}`,
  );
  t.teardown(() => early.stop());
  const gone = await early.line(({ event, phase }) => event === 'progress' && isMissingPages(phase));
  t.log(JSON.stringify(gone));
  t.is((await back.execute('query-status')).status, 'running');
  await limitLinks(testbed, 'dst', 250, 62.5);
  t.is(await early.ended, 0, early.errors);
  log(JSON.stringify(early.end));
  t.like(early.end, { outcome: 'migrated', method: 'resume' });
  t.true(Number(early.end?.['movedMs']) < Number(early.end?.['totalMs']));
  t.is((await target.execute('query-status')).status, 'postmigrate');
  await waitForServer({ client, vmHost: src, server, timeoutMs: 120_000 });
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest1'), [[String(rowsPerTable)]]);

  const checksums = (): Promise<unknown> =>
    Promise.all([1, 2].map((table) => runSql(client, server, `CHECKSUM TABLE sbtest.sbtest${table}`)));
  const before = await checksums();
  // And there again, with both engines killed when the VM is there and its pages are not.
  await stopVm(dst);
  const there = await startVm(dst, { ...machine, role: 'target' });
  const refused = await src.run(`poolshift recover ${vm}`, { okExitCodes: [4] });
  t.regex(refused.stderr, /it was not moved/);
  await limitLinks(testbed, 'src', 30, 8);
  const broken = new Command(src, vm, '--method resume --before-switch 0');
  t.teardown(() => broken.stop());
  await broken.line(({ event, phase }) => event === 'progress' && isMissingPages(phase));
  for (const [host, role] of [
    [src, 'source'],
    [dst, 'destination'],
  ] as const)
    await host.run(`kill -KILL "$(cat "$(ls -td /run/poolshift/migrations/*/ | head -n 1)${role}.pid")"`);
  t.is(await broken.ended, 6, broken.errors);
  log(JSON.stringify(broken.end));
  t.is(broken.end?.['outcome'], 'incomplete');
  t.not((await back.execute('query-status')).status, 'running');
  await limitLinks(testbed, 'src', 250, 62.5);
  const recovered = await src.run(`poolshift recover ${vm}`, { timeoutMs: 180_000 });
  log(recovered.stdout);
  t.regex(recovered.stdout, /^\d+ pages are missing/m);
  t.regex(recovered.stdout, /has everything on dst; end what is left of it/);
  t.is((await there.execute('query-migrate')).status, 'completed');
  await waitForServer({ client, vmHost: dst, server, timeoutMs: 120_000 });
  t.deepEqual(await checksums(), before);
  t.not((await back.execute('query-status')).status, 'running');
  t.regex((await src.run('poolshift status')).stdout, /by resume, here the source: recovered$/m);
  const again = await src.run(`poolshift recover ${vm}`, { okExitCodes: [4] });
  t.regex(again.stderr, /has everything/);

  // What those have left switched on in QEMU, others do without.
  for (const [from, to, method, options] of [
    [dst, src, 'balance', ''],
    // Suspended when it has taken so long; it goes on at the target.
    [src, dst, 'plain', '--timeout 1'],
  ] as const) {
    await stopVm(to);
    await startVm(to, { ...machine, role: 'target' });
    const command = new Command(
      from,
      `--source-qmp ${qmp} --target-qmp ssh://${to.name}${qmp}`,
      `--available-switchover-bandwidth 28 --method ${method} ${options}`,
    );
    t.teardown(() => command.stop());
    t.is(await command.ended, 0, command.errors);
    log(JSON.stringify(command.end));
    t.like(command.end, { outcome: 'migrated', method });
    await waitForServer({ client, vmHost: to, server, timeoutMs: 120_000 });
  }
  t.deepEqual(await checksums(), before);
});
