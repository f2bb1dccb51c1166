/**
 * A guest whose data directory lies on NFS that it mounts itself: the page list names files, the destination reads them from
 * the export over its own network, and both VMs have the same RAM. The engines give up root once guest memory and the agent's
 * port are open: neither those nor NFS need it. About a minute under TCG.
 */
import test from 'ava';
import { requestPageList } from '../../../engine/list/agent-client.ts';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { startVm, stopVm, waitForServer } from '../../vm/machine.ts';
import type { MachineDescription } from '../../../qemu/machine-arguments.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { runSql } from '../../workload/sql-client.ts';
import { deployer } from '../deploy.ts';
import { compareRam } from '../ram-comparison.ts';
import { prepareEngine } from './engine-bundle.ts';
import { enginePidFile, EnginePair } from './engine-pair.fixture.ts';

/** 15 MiB each. */
const rowsPerTable = 60_000;
const engineUser = 'nobody';
/** The engines' user's own. */
const socketFolder = '/run/poolshift-engines';
const outgoingSocket = `${socketFolder}/outgoing.sock`;
const incomingSocket = `${socketFolder}/incoming.sock`;
/** The lab's export as NFSv4 names it (harness/testbed/local/ganesha.ts). */
const pseudoPath = '/export';

test('pages of files on NFS come from the export', async (t) => {
  t.timeout(15 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const lab = await prepareGuestLab(t, {
    owner: 'nfs-datadir.lab.test.ts',
    // So slow a migration link that the list comes long before the first pass ends.
    rates: { migration: 250e6, storage: undefined, service: undefined },
    rowsPerTable,
    agent: true,
    log,
  });
  const { testbed, diskPath } = lab;
  const { src, dst, client } = testbed.hosts;
  const deploy = deployer(testbed);
  const { storage, service } = testbed.networks;
  const fileSystem = `${service.addresses.nfs}:${pseudoPath}`;
  const machine: MachineDescription = { ...lab.machine, nfsDataExport: fileSystem };
  const source = await startVm(src, machine);
  t.teardown(() => stopVm(src));
  await waitForServer({ client, vmHost: src, server, timeoutMs: 300_000 });
  log('the server answers');
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  log('the tables are read');

  const { list } = await requestPageList(await src.forwardSocket(firstVm.machine.paths.agentSocket));
  log(JSON.stringify({ pages: list.pageCount, sources: list.sources, timings: list.timings }));
  const tables = list.sources.filter((found) => found.kind === 'file' && found.path.includes('sbtest'));
  t.deepEqual(
    tables.map((found) => (found.kind === 'file' ? [found.fileSystem, found.path] : [])).sort(),
    [1, 2].map((table) => [fileSystem, `data/sbtest/sbtest${table}.ibd`]),
  );
  t.true(
    list.sources.every(({ kind }) => kind === 'file'),
    'nothing of the pool lies on the disk',
  );

  const target = await startVm(dst, { ...machine, role: 'target' });
  t.teardown(() => stopVm(dst));
  for (const qemu of [source, target])
    await qemu.execute('migrate-set-capabilities', {
      capabilities: [
        { capability: 'return-path', state: true },
        { capability: 'switchover-ack', state: true },
        { capability: 'events', state: true },
      ],
    });
  await source.execute('migrate-set-parameters', { 'max-bandwidth': 1e11 });
  await dst.run(`install -d -m 700 -o ${engineUser} ${socketFolder}`);
  await target.execute('migrate-incoming', { uri: `unix:${incomingSocket}` });
  // QEMU is root's here, and so is the socket that it has made.
  await dst.run(`chown ${engineUser} ${incomingSocket}`);
  const pair = new EnginePair(testbed, await deploy(await prepareEngine(log), 'src'));
  t.teardown(() => pair.stop());
  const engines = await pair.start({
    outgoingSocket,
    incomingSocket,
    ram: `file:${firstVm.machine.paths.ram}`,
    storage: [
      `nfs://${storage.addresses.nfs}${diskPath}`,
      `${fileSystem}=nfs://${storage.addresses.nfs}${testbed.exportPath}`,
    ],
    user: engineUser,
  });
  for (const host of [src, dst]) {
    const { stdout } = await host.run(`grep -E '^(Uid|CapEff):' /proc/$(cat ${enginePidFile})/status`);
    t.regex(stdout, /^Uid:\t65534\t65534\t65534\t65534\nCapEff:\t0+\n$/);
  }
  const completed = source.waitForEvent(
    (event) => event.name === 'MIGRATION' && event.data['status'] === 'completed',
    { timeoutMs: 180_000 },
  );
  await source.execute('migrate', { uri: `unix:${outgoingSocket}` });
  await Promise.all([completed, engines.source.ended, engines.destination.ended]);
  t.is(engines.source.failure ?? engines.destination.failure, undefined);

  await testbed.shape('migration', undefined);
  const compared = await compareRam(testbed, deploy, log);
  log(JSON.stringify(compared));
  t.like(compared, { pages_compared: machine.memoryBytes / 4096, pages_differing: 0 });

  await stopVm(src);
  await target.execute('cont');
  await waitForServer({ client, vmHost: dst, server, timeoutMs: 60_000 });
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [[String(rowsPerTable)]]);
  const sums = pair.last('src', 'done');
  log(JSON.stringify(sums));
  t.true(Number(sums?.['pages_restored']) > 4000, 'the pool came from the export');
  t.is(sums?.['pages_pending'], 0);
});
