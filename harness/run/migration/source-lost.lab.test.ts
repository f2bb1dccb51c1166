/**
 * Early resume under load, told from a third machine: the source's engine and its QEMU are killed once all that the VM misses at
 * the destination lies on storage, and once more the destination's engine, too. No commit is lost, and the tables are sound. About
 * three minutes under TCG.
 */
import test from 'ava';
import { bundleProgram } from '../../probes/bundle.ts';
import { startRecorder } from '../../probes/recorder-process.ts';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { startVm, stopVm, waitForServer } from '../../vm/machine.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { checkLedger } from '../../workload/ledger-check.ts';
import { runSql } from '../../workload/sql-client.ts';
import { sysbenchCommand } from '../../workload/sysbench.ts';
import { checkTables } from '../../workload/table-check.ts';
import { deployer } from '../deploy.ts';
import { Command, installPackage, joinBySsh, limitLinks } from './operate.fixture.ts';

const rowsPerTable = 200_000;

test('a source that is lost when all that is missing lies on storage', async (t) => {
  t.timeout(30 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const { testbed, machine } = await prepareGuestLab(t, {
    owner: 'source-lost.lab.test.ts',
    rates: { migration: 250e6, storage: 62.5e6, service: 125e6 },
    rowsPerTable,
    agent: true,
    log,
  });
  const { src, dst, client } = testbed.hosts;
  await joinBySsh(testbed, 'client', ['src', 'dst']);
  await installPackage([src, dst, client], log);
  await startVm(src, machine);
  t.teardown(() => stopVm(src));
  t.teardown(() => stopVm(dst));
  await waitForServer({ client, vmHost: src, server, timeoutMs: 300_000 });
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  log('the tables are read');

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
    while (acknowledged < commits && performance.now() < deadlineMs)
      await new Promise((resolve) => setTimeout(resolve, 100));
    t.true(acknowledged >= commits, `${acknowledged} of ${commits} commits`);
  };
  await until(10);

  const target = await startVm(dst, { ...machine, role: 'target' });
  // So slow that the source is lost while most of the pool is missing.
  await limitLinks(testbed, 'src', 60, 8);
  const qmp = firstVm.machine.paths.recorderSocket;
  const moving = new Command(
    client,
    `--source-qmp ssh://src${qmp} --target-qmp ssh://dst${qmp}`,
    `--method resume --before-switch 0 --to-address ${testbed.networks.migration.addresses.dst}`,
  );
  t.teardown(async () => {
    await moving.stop();
    const { stdout } = await dst.run(
      'grep -hv progress "$(ls -td /run/poolshift/migrations/*/ | head -n 1)"*.events || true',
    );
    t.log(stdout);
  });
  const free = await moving.line(
    ({ event, phase }) => event === 'progress' && phase === 'missing pages on storage',
  );
  log(JSON.stringify(free));
  await src.run(
    `kill -KILL "$(cat ${firstVm.machine.paths.pidFile})" "$(cat "$(ls -td /run/poolshift/migrations/*/ | head -n 1)source.pid")"`,
  );
  await limitLinks(testbed, 'dst', 250, 62.5);
  const exitCode = await moving.ended;
  log(JSON.stringify(moving.end));
  t.is(exitCode, 0, moving.errors);
  t.like(moving.end, { outcome: 'migrated', method: 'resume' });
  t.true(Number(moving.end?.['pagesVerified']) > 5000, 'most of the pool came from storage');
  t.regex(JSON.stringify(moving.end?.['reasons']), /src was lost on the way/);
  t.is((await target.execute('query-migrate')).status, 'completed');
  t.is((await target.execute('query-status')).status, 'running');

  await until(acknowledged + 5);

  // And to the other host again, where this time the destination engine is killed as well.
  await joinBySsh(testbed, 'dst', ['src']);
  await stopVm(src);
  const back = await startVm(src, { ...machine, role: 'target' });
  await limitLinks(testbed, 'dst', 60, 8);
  const alone = new Command(
    client,
    `--source-qmp ssh://dst${qmp} --target-qmp ssh://src${qmp}`,
    `--method resume --before-switch 0 --to-address ${testbed.networks.migration.addresses.src}`,
  );
  t.teardown(() => alone.stop());
  await alone.line(({ event, phase }) => event === 'progress' && phase === 'missing pages on storage');
  const newest = '$(ls -td /run/poolshift/migrations/*/ | head -n 1)';
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
  t.regex((await src.run('poolshift status')).stdout, /by resume, here the destination: recovered$/m);
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
});
