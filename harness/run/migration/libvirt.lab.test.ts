/**
 * `virsh migrate` through the engines, between two libvirt daemons: one migration whose destination engine is killed, and
 * one that completes and leaves both VMs with the same RAM. About 90 seconds under TCG.
 */
import test from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { bundleProgram } from '../../probes/bundle.ts';
import type { Host } from '../../testbed/host.ts';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { runSql } from '../../workload/sql-client.ts';
import { deployer } from '../deploy.ts';
import { compareWithOffer, offerRam } from '../ram-comparison.ts';
import { prepareEngine } from './engine-bundle.ts';
import { EnginePair, enginePidFile } from './engine-pair.fixture.ts';
import {
  destinationUri,
  domainName,
  domainProcess,
  domainXml,
  forwardLibvirt,
  startLibvirt,
  virsh,
} from './libvirt.fixture.ts';
import { untilAnswers } from './until-answers.fixture.ts';
import { mib } from '../../../foundation/quantity.ts';

const rowsPerTable = 200_000;
/** On the source host the engine waits there for libvirt, on the destination host QEMU waits there for the engine. */
const migrationSocket = '/run/poolshift/migration.sock';
const migrationBitsPerSecond = 250e6;

const domains = (host: Host): Promise<string> => virsh(host, 'list --all --name');

test('libvirt migrates its domain through the engines', async (t) => {
  t.timeout(15 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const { testbed, machine, diskPath } = await prepareGuestLab(t, {
    owner: 'libvirt.lab.test.ts',
    rates: { migration: migrationBitsPerSecond, storage: 62.5e6, service: 125e6 },
    rowsPerTable,
    agent: true,
    log,
  });
  const { src, dst, client } = testbed.hosts;
  const deploy = deployer(testbed);

  const versions = await startLibvirt(src, '0e2cc5f0-2f5c-4f0e-9d55-7d1f6a3c0001');
  await startLibvirt(dst, '0e2cc5f0-2f5c-4f0e-9d55-7d1f6a3c0002');
  log(versions.split('\n').slice(-3).join('; '));
  const forwards = await forwardLibvirt(testbed);
  t.teardown(() => Promise.all(forwards.map((forward) => forward.stop())));

  await src.run(`cat > /run/poolshift/domain.xml`, { input: await domainXml(machine) });
  await virsh(src, 'create --validate /run/poolshift/domain.xml');
  await untilAnswers(client, src);
  log('the server answers');
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  log('the tables are read');

  const bundle = await deploy(await prepareEngine(log), 'src');
  const pair = new EnginePair(testbed, bundle);
  t.teardown(() => pair.stop());
  const { qemuPid, ramPath } = await domainProcess(src);
  const places = {
    outgoingSocket: migrationSocket,
    incomingSocket: migrationSocket,
    ram: `pid:${qemuPid}`,
    storage: [`nfs://${testbed.networks.storage.addresses.nfs}${diskPath}`],
  };
  const mibPerSecond = Math.floor((0.95 * migrationBitsPerSecond) / 8 / mib);
  const migrate = (options: string): Promise<string> =>
    virsh(
      src,
      `migrate --live ${options} --migrateuri unix://${migrationSocket} ` +
        `--available-switchover-bandwidth ${mibPerSecond} ${domainName} '${destinationUri}'`,
      600_000,
    );

  // The destination engine is killed when it has most of the memory.
  const killed = await pair.start(places);
  const failure = t.throwsAsync(migrate(''), { instanceOf: CodedError, name: 'HostError' });
  await killed.source.waitFor('gate-held', 300_000);
  await dst.run(`kill -KILL "$(cat ${enginePidFile})"`);
  const { message } = await failure;
  log(message);
  t.regex(message, /error: .*(migration failed|'migration out' failed)/);
  await Promise.all([killed.source.ended, killed.destination.ended]);
  t.regex(killed.source.failure ?? '', /^src: /);
  t.is(await virsh(src, `domstate ${domainName}`), 'running');
  t.is(await domains(dst), '');
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest1'), [[String(rowsPerTable)]]);

  // The source's memory is kept open: libvirt ends its QEMU when the migration has completed.
  const program = await deploy(await bundleProgram('ram-compare', log), 'dst');
  const offer = await offerRam(testbed, ramPath);
  t.teardown(() => offer.stop());
  const engines = await pair.start(places);
  const migrateMs = performance.now();
  await migrate('--p2p --suspend');
  log(`virsh migrate took ${((performance.now() - migrateMs) / 1000).toFixed(1)} s`);
  await Promise.all([engines.source.ended, engines.destination.ended]);
  t.is(engines.source.failure ?? engines.destination.failure, undefined);
  t.is(await domains(src), '');
  t.is(await virsh(dst, `domstate ${domainName}`), 'paused');

  const compared = await compareWithOffer(testbed, program, (await domainProcess(dst)).ramPath);
  log(JSON.stringify(compared));
  t.like(compared, { pages_compared: machine.memoryBytes / 4096, pages_differing: 0 });

  await virsh(dst, `resume ${domainName}`);
  await untilAnswers(client, dst);
  t.is(await virsh(dst, `domstate ${domainName}`), 'running');
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [[String(rowsPerTable)]]);

  // libvirt has both QEMUs use the ack (switchover-ack), and the engine withheld that.
  const held = pair.last('src', 'gate-held');
  const sums = pair.last('src', 'done');
  log(JSON.stringify({ ...held, ...pair.last('src', 'gate-released') }));
  log(JSON.stringify(sums));
  t.is(held?.['by'], 'agreement-withheld');
  t.true(Number(sums?.['pages_restored']) > 10_000, 'the pool came from storage');
  t.true(Number(sums?.['pages_left_out']) > 10_000);
  t.is(sums?.['pages_pending'], 0);
});
