/**
 * `poolshift migrate --source-qmp`, between two QEMUs that somebody else started: aborted while pages come from storage, carried
 * out without its terminal, and early with a recovery. Then, told from a third machine and under load: the source's engine and its
 * QEMU are killed once all that the VM misses at the destination lies on storage, and once more the destination's engine, too. No
 * commit is lost, and the tables are sound. About four minutes under TCG.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { makeCertificates } from '../../../engine/cli/testing/certificates.ts';
import type { Host } from '../../testbed/host.ts';
import { bundleProgram } from '../../probes/bundle.ts';
import { startRecorder } from '../../probes/recorder-process.ts';
import { type GuestLab, mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { startVm, stopVm, waitForServer } from '../../vm/machine.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { checkLedger } from '../../workload/ledger-check.ts';
import { runSql } from '../../workload/sql-client.ts';
import { sysbenchCommand } from '../../workload/sysbench.ts';
import { checkTables } from '../../workload/table-check.ts';
import { deployer } from '../deploy.ts';
import { Command, installPackage, isMissingPages, joinBySsh, limitLinks } from './operate.fixture.ts';

const rowsPerTable = 200_000;
const tlsFolder = '/etc/poolshift-pki';
/** The control socket is the harness's own. */
const qmp = firstVm.machine.paths.recorderSocket;
/** The folder of a host's newest migration, for its shell. */
const newest = '$(ls -td /run/poolshift/migrations/*/ | head -n 1)';

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
  await installPackage([src, dst, client], log);
  const source = await startVm(src, machine);
  t.teardown(() => stopVm(src));
  t.teardown(() => stopVm(dst));
  await waitForServer({ client, vmHost: src, server, timeoutMs: 300_000 });
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  log('the tables are read');

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
  await moved.line(({ event }) => event === 'progress');
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

  const checksums = (): Promise<unknown> =>
    Promise.all([1, 2].map((table) => runSql(client, server, `CHECKSUM TABLE sbtest.sbtest${table}`)));
  const before = await checksums();
  // And back, before all of it is there, with both engines killed when the VM is.
  await stopVm(src);
  const back = await startVm(src, { ...machine, role: 'target' });
  await joinBySsh(testbed, 'dst', ['src']);
  await giveCertificates([src, dst], 'DNS:src');
  const home = `--source-qmp ${qmp} --target-qmp ssh://src${qmp}`;
  const refused = await dst.run(`poolshift recover ${home}`, { okExitCodes: [4] });
  t.regex(refused.stderr, /it was not moved/);
  // So slow that it is there before its pool is.
  await limitLinks(testbed, 'dst', 30, 8);
  const broken = new Command(dst, home, `--method resume --before-switch 0 --tls-dir ${tlsFolder}`);
  t.teardown(() => broken.stop());
  await broken.line(({ event, phase }) => event === 'progress' && isMissingPages(phase));
  t.is((await back.execute('query-status')).status, 'running');
  for (const [host, role] of [
    [dst, 'source'],
    [src, 'destination'],
  ] as const)
    await host.run(`kill -KILL "$(cat "${newest}${role}.pid")"`);
  t.is(await broken.ended, 6, broken.errors);
  log(JSON.stringify(broken.end));
  t.is(broken.end?.['outcome'], 'incomplete');
  t.not((await target.execute('query-status')).status, 'running');
  await limitLinks(testbed, 'dst', 250, 62.5);
  const recovered = await dst.run(`poolshift recover ${home}`, { timeoutMs: 180_000 });
  log(recovered.stdout);
  t.regex(recovered.stdout, /^\d+ pages are missing/m);
  t.regex(recovered.stdout, /has everything on src; end what is left of it/);
  t.is((await back.execute('query-migrate')).status, 'completed');
  await waitForServer({ client, vmHost: src, server, timeoutMs: 120_000 });
  t.deepEqual(await checksums(), before);
  t.not((await target.execute('query-status')).status, 'running');
  t.regex((await dst.run('poolshift status')).stdout, /by resume, here the source: recovered$/m);
  const again = await dst.run(`poolshift recover ${home}`, { okExitCodes: [4] });
  t.regex(again.stderr, /has everything/);

  // What those have left switched on in QEMU, others do without.
  for (const [from, to, method, options] of [
    [src, dst, 'balance', ''],
    // Suspended when it has taken so long; it goes on at the target.
    [dst, src, 'plain', '--timeout 1'],
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
  await losesItsSource(t, { testbed, machine, log });
});

/** The VM runs at src. */
async function losesItsSource(
  t: ExecutionContext,
  { testbed, machine, log }: Pick<GuestLab, 'testbed' | 'machine'> & { readonly log: (line: string) => void },
): Promise<void> {
  const { src, dst, client } = testbed.hosts;
  await joinBySsh(testbed, 'client', ['src', 'dst']);
  let acknowledged = 0;
  const command = sysbenchCommand({
    script: 'oltp_read_write',
    server,
    data: { kind: 'oltp', tables: 2, rowsPerTable },
    threads: 2,
    rateTps: 4,
    timeSeconds: 3600,
    seed: 1,
  });
  const recorder = startRecorder(
    client,
    [
      { probe: 'ledger', server, file: firstVm.ledgerFile },
      { probe: 'lines', name: 'sysbench', command },
    ],
    (report) => {
      if (report.report === 'ledger') acknowledged = report.acknowledged;
    },
    await deployer(testbed)(await bundleProgram('recorder', log), 'client'),
  );
  t.teardown(() => recorder.stop());
  const until = async (commits: number): Promise<void> => {
    const deadlineMs = performance.now() + 90_000;
    while (acknowledged < commits && performance.now() < deadlineMs) await sleep(100);
    t.true(acknowledged >= commits, `${acknowledged} of ${commits} commits`);
  };
  await until(10);

  await stopVm(dst);
  const target = await startVm(dst, { ...machine, role: 'target' });
  // So slow that the source is lost while most of the pool is missing.
  await limitLinks(testbed, 'src', 40, 8);
  const moving = new Command(
    client,
    `--source-qmp ssh://src${qmp} --target-qmp ssh://dst${qmp}`,
    `--method resume --before-switch 0 --to-address ${testbed.networks.migration.addresses.dst}`,
  );
  t.teardown(async () => {
    await moving.stop();
    const { stdout } = await dst.run(`grep -hv progress "${newest}"*.events || true`);
    t.log(stdout);
  });
  const free = await moving.line(
    ({ event, phase }) => event === 'progress' && phase === 'missing pages on storage',
  );
  log(JSON.stringify(free));
  await src.run(`kill -KILL "$(cat ${firstVm.machine.paths.pidFile})" "$(cat "${newest}source.pid")"`);
  await limitLinks(testbed, 'dst', 250, 62.5);
  const exitCode = await moving.ended;
  log(JSON.stringify(moving.end));
  t.is(exitCode, 0, moving.errors);
  t.like(moving.end, { outcome: 'migrated', method: 'resume' });
  t.true(Number(moving.end?.['movedMs']) < Number(moving.end?.['totalMs']));
  t.true(Number(moving.end?.['pagesVerified']) > 5000, 'most of the pool came from storage');
  t.regex(JSON.stringify(moving.end?.['reasons']), /src was lost on the way/);
  t.is((await target.execute('query-migrate')).status, 'completed');
  t.is((await target.execute('query-status')).status, 'running');

  await until(acknowledged + 5);

  // And to the other host again, where this time the destination engine is killed as well.
  await stopVm(src);
  const back = await startVm(src, { ...machine, role: 'target' });
  await limitLinks(testbed, 'dst', 40, 8);
  const alone = new Command(
    client,
    `--source-qmp ssh://dst${qmp} --target-qmp ssh://src${qmp}`,
    `--method resume --before-switch 0 --to-address ${testbed.networks.migration.addresses.src}`,
  );
  t.teardown(() => alone.stop());
  await alone.line(({ event, phase }) => event === 'progress' && phase === 'missing pages on storage');
  // First of all the engine of the destination, which would finish without the source.
  await src.run(`kill -KILL "$(cat "${newest}destination.pid")"`);
  await dst.run(`kill -KILL "$(cat ${firstVm.machine.paths.pidFile})" "$(cat "${newest}source.pid")"`);
  t.is(await alone.ended, 6, alone.errors);
  log(JSON.stringify(alone.end));
  t.is((await back.execute('query-migrate')).status, 'postcopy-paused');
  await limitLinks(testbed, 'src', 250, 62.5);
  const recovered = await client.run(`poolshift recover --from-storage --target-qmp ssh://src${qmp}`, {
    timeoutMs: 180_000,
  });
  log(recovered.stdout);
  t.regex(recovered.stdout, /^\d+ pages are missing: they follow from storage$/m);
  t.regex(recovered.stdout, /has everything on src/);
  t.is((await back.execute('query-migrate')).status, 'completed');
  t.is((await back.execute('query-status')).status, 'running');
  const [latest = ''] = (await src.run('poolshift status')).stdout.split('\n');
  t.regex(latest, /by resume, here the destination: recovered$/);
  const again = await client.run(`poolshift recover --from-storage --target-qmp ssh://src${qmp}`, {
    okExitCodes: [4],
  });
  t.regex(again.stderr, /has everything on src/);

  await until(acknowledged + 5);
  await recorder.stop();
  const ledger = await checkLedger(client, server, firstVm.ledgerFile);
  log(`${ledger.acknowledged} commits acknowledged, ${ledger.lost} lost`);
  t.is(ledger.lost, 0);
  const tables = await checkTables(client, server);
  t.true(tables.length >= 2);
  t.deepEqual(
    tables.filter(({ ok }) => !ok),
    [],
  );
}
