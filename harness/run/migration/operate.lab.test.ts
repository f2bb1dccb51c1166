/**
 * `poolshift migrate`, as its Debian package has it, between two libvirt daemons with ssh between their hosts: checked, aborted at
 * half, its source engine killed, its target's host cut off, carried out, once more from a third machine, and early with a recovery.
 * `operate-evacuate.lab.test.ts` has it early to its end, and without the engines. About three minutes under TCG.
 */
import test from 'ava';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { runSql } from '../../workload/sql-client.ts';
import { domainName, domainXml, startLibvirt, virsh } from './libvirt.fixture.ts';
import { Command, installPackage, isMissingPages, joinBySsh, limitLinks } from './operate.fixture.ts';
import { untilAnswers } from './until-answers.fixture.ts';

const rowsPerTable = 200_000;
const migrationBitsPerSecond = 250e6;
const destinationUri = 'qemu+ssh://dst/system';

test('poolshift migrate, between two hosts with libvirt', async (t) => {
  t.timeout(30 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const { testbed, machine } = await prepareGuestLab(t, {
    owner: 'operate.lab.test.ts',
    rates: { migration: migrationBitsPerSecond, storage: 62.5e6, service: 125e6 },
    rowsPerTable,
    agent: true,
    log,
  });
  const { src, dst, client } = testbed.hosts;
  await startLibvirt(src, '0e2cc5f0-2f5c-4f0e-9d55-7d1f6a3c0001');
  await startLibvirt(dst, '0e2cc5f0-2f5c-4f0e-9d55-7d1f6a3c0002');
  await joinBySsh(testbed, 'src', ['dst']);
  await joinBySsh(testbed, 'client', ['src', 'dst']);
  await installPackage([src, dst, client], log);

  await src.run(`cat > /run/poolshift/domain.xml`, { input: await domainXml(machine) });
  await virsh(src, 'create --validate /run/poolshift/domain.xml');

  // QEMU serves one client at the agent's port: while there is another, the agent is as good as none.
  const { agentSocket } = firstVm.machine.paths;
  const other = src.spawn(`exec socat -u UNIX-CONNECT:${agentSocket} -`);
  await src.run(
    `for attempt in $(seq 100); do ss -Hx state established src ${agentSocket} | grep -q . && exit 0; sleep 0.05; done; exit 1`,
  );
  const without = await src.run(`poolshift check ${domainName} ${destinationUri}`, {
    okExitCodes: [4],
    timeoutMs: 180_000,
  });
  log(without.stdout);
  t.regex(without.stdout, /^NO +agent: it does not answer/m);
  await other.stop();

  await untilAnswers(client, src);
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  log('the tables are read');
  const checked = await src.run(`poolshift check ${domainName} ${destinationUri}`, { timeoutMs: 180_000 });
  log(checked.stdout);
  t.regex(checked.stdout, /^ok +agent: mariadb .* lists \d+ pages$/m);
  t.regex(checked.stdout, /^ok +storage nfs:\/\/.*: the same on both hosts/m);
  t.regex(checked.stdout, /^ok +migration port: src reaches dst:\d+$/m);

  const nobody = await src.run(`poolshift check ${domainName}-2 ${destinationUri}`, {
    okExitCodes: [4],
    timeoutMs: 180_000,
  });
  t.regex(nobody.stdout, /^NO +domain poolshift-2: there is no such domain/m);

  const migrate = (options = '', host = src, vm = `${domainName} ${destinationUri}`): Command => {
    const command = new Command(
      host,
      vm,
      `--available-switchover-bandwidth 28 --metrics /root/poolshift.prom ${options}`,
    );
    t.teardown(() => command.stop());
    return command;
  };
  const killEngines = async (): Promise<void> => {
    await src.run(`systemctl kill --signal=KILL poolshift-source-${domainName}.service`);
    // Which may have ended by itself, since the other one is gone.
    await dst.run(`systemctl kill --signal=KILL poolshift-destination-${domainName}.service`, {
      okExitCodes: [0, 1],
    });
  };
  const staysAtSource = async (what: string): Promise<void> => {
    t.is(await virsh(src, `domstate ${domainName}`), 'running', what);
    t.deepEqual(
      await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest1'),
      [[String(rowsPerTable)]],
      what,
    );
  };

  // Aborted while pages come from storage.
  const aborted = migrate('--method restore');
  await aborted.restoring();
  await aborted.signal('INT');
  t.is(await aborted.ended, 130, aborted.errors);
  t.is(aborted.end?.['outcome'], 'cancelled');
  await staysAtSource('aborted');
  t.is(await virsh(dst, 'list --all --name'), '');
  log('aborted');

  // At once again, over the same paths; the source engine is killed.
  const killed = migrate('--method restore');
  await killed.restoring();
  const units = await src.run(`systemctl list-units --plain --no-legend 'poolshift-*'`);
  t.regex(units.stdout, new RegExp(`^poolshift-source-${domainName}\\.service +loaded +active`, 'm'));
  await killEngines();
  t.is(await killed.ended, 1, killed.errors);
  t.is(killed.end?.['outcome'], 'failed');
  log(JSON.stringify(killed.end));
  await staysAtSource('source engine killed');
  t.is(await virsh(dst, 'list --all --name'), '');

  // The destination cannot be reached any more: neither by engines, nor by ssh.
  const cut = migrate('--method restore');
  await cut.restoring();
  const { dst: interfaceName } = testbed.networks.migration.interfaces;
  await dst.run(`ip link set ${interfaceName} down`);
  t.is(await cut.ended, 1, cut.errors);
  log(JSON.stringify(cut.end));
  t.is(cut.end?.['outcome'], 'failed');
  await staysAtSource('destination cut off');
  await dst.run(`ip link set ${interfaceName} up`);
  // libvirt there gives up its half when its client has been silent for long enough.
  await dst.run(
    `for attempt in $(seq 120); do [ -z "$(virsh -c qemu:///system list --all --name)" ] && exit 0; sleep 1; done; exit 1`,
    { timeoutMs: 130_000 },
  );

  const moved = migrate('--max-downtime 400 --verify');
  t.is(await moved.ended, 0, moved.errors);
  log(JSON.stringify(moved.end));
  t.is(moved.end?.['outcome'], 'migrated');
  t.is(moved.end?.['ram'], 'equal');
  t.true(Number(moved.end?.['pagesVerified']) > 5000, 'the pool came from storage');
  t.true(Number(moved.end?.['downtimeMs']) > 0);
  t.is(await virsh(src, 'list --all --name'), '');
  t.is(await virsh(dst, `domstate ${domainName}`), 'running');
  await untilAnswers(client, dst);
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [[String(rowsPerTable)]]);

  for (const host of [src, dst]) {
    const { stdout } = await host.run('poolshift status');
    log(stdout);
    const ends = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(': ').at(-1));
    // The destination was not there to be told of the third.
    t.deepEqual(
      ends.filter((_, index) => host === src || index !== 1),
      host === src ? ['migrated', 'failed', 'failed', 'cancelled'] : ['migrated', 'failed', 'cancelled'],
    );
    t.is((await host.run(`find /run/poolshift/migrations -name '*key'`)).stdout, '');
    t.regex((await host.run('journalctl --quiet -t poolshift')).stdout, /: migrated \(total /);
  }
  const metrics = await src.run('cat /root/poolshift.prom');
  t.regex(metrics.stdout, new RegExp(`^poolshift_migration_downtime_seconds\\{vm="${domainName}",`, 'm'));

  // Back again, told from a third machine, by a user with sudo.
  await joinBySsh(testbed, 'dst', ['src']);
  for (const host of [src, dst])
    await host.run(`useradd --create-home --shell /bin/bash oliver
echo 'oliver ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/oliver
install -D -m 600 -o oliver -g oliver /root/.ssh/authorized_keys ~oliver/.ssh/authorized_keys
chown oliver: ~oliver/.ssh
usermod --append --groups libvirt oliver`);
  const back = migrate(
    `--p2p --persistent --timeout 120 --connect qemu+ssh://oliver@dst/system --to-address ${testbed.networks.migration.addresses.src}`,
    client,
    `${domainName} qemu+ssh://oliver@src/system`,
  );
  t.is(await back.ended, 0, back.errors);
  log(JSON.stringify(back.end));
  t.true(Number(back.end?.['pagesVerified']) > 5000);
  t.is(await virsh(src, `domstate ${domainName}`), 'running');
  t.regex(await virsh(src, `dominfo ${domainName}`), /^Persistent: +yes$/m);
  t.is(await virsh(dst, 'list --all --name'), '');
  await untilAnswers(client, src);

  // There once more, early: the VM answers at the destination before its pool is there; then both engines are killed.
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  await limitLinks(testbed, 'src', 30, 8);
  const broken = new Command(src, `${domainName} ${destinationUri}`, '--method resume --before-switch 0');
  t.teardown(() => broken.stop());
  const gone = await broken.line(({ event, phase }) => event === 'progress' && isMissingPages(phase));
  log(JSON.stringify(gone));
  await untilAnswers(client, dst);
  t.is(broken.end, undefined);
  log('answers at the destination, and its pool is not there');
  await killEngines();
  t.is(await broken.ended, 6, broken.errors);
  log(JSON.stringify(broken.end));
  t.not(await virsh(src, `domstate ${domainName}`), 'running');
  await limitLinks(testbed, 'src', migrationBitsPerSecond / 1e6, 62.5);
  const refused = await src.run(`poolshift recover ${domainName} ${destinationUri}`, { okExitCodes: [4] });
  t.regex(refused.stderr, /libvirt on dst blocks access to the QEMU.*--restart-libvirt/);
  // Killed while libvirt is stopped: QEMU stands, so that its monitor does not answer.
  const qemu = `$(cat /run/libvirt/qemu/${domainName}.pid)`;
  await dst.run(`kill -STOP ${qemu}`);
  const killedRecovery = src.spawn(
    `echo $$ > /run/poolshift/recover.pid; exec poolshift recover ${domainName} ${destinationUri} --restart-libvirt`,
  );
  t.teardown(() => killedRecovery.stop());
  await dst.run(
    `for attempt in $(seq 600); do [ "$(systemctl is-active libvirtd)" = inactive ] && exit 0; sleep 0.1; done; exit 1`,
    { timeoutMs: 90_000 },
  );
  await src.run('kill -KILL "$(cat /run/poolshift/recover.pid)"');
  await dst.run(`kill -CONT ${qemu}`);
  // What the timer of the recovery starts, without waiting for it.
  await dst.run(
    `systemctl start --wait "$(systemctl list-timers --no-legend 'run-*' | awk '{ print $NF }')"`,
  );
  t.is((await dst.run('systemctl is-active libvirtd')).stdout.trim(), 'active');
  log('libvirt runs again, though the recovery was killed');
  const recovered = await src.run(`poolshift recover ${domainName} ${destinationUri} --restart-libvirt`, {
    timeoutMs: 180_000,
  });
  log(recovered.stdout);
  t.regex(recovered.stdout, /^\d+ pages are missing/m);
  t.regex(recovered.stdout, /has everything on dst; end what is left of it on \S+: virsh .* destroy/);
  await untilAnswers(client, dst);
  t.is(await virsh(dst, `domstate ${domainName}`), 'running');
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [[String(rowsPerTable)]]);
  t.not(await virsh(src, `domstate ${domainName}`), 'running');
  await virsh(src, `destroy ${domainName}`);
});
