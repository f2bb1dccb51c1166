/**
 * `poolshift migrate`, as its Debian package has it, between two libvirt daemons with ssh between their hosts: checked, aborted at
 * half, its source engine killed, its target's host cut off, and carried out. About five minutes under TCG.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { z } from 'zod';
import type { Host, HostProcess, Testbed } from '../../testbed/host.ts';
import { startVm, stopVm, waitForServer } from '../../vm/machine.ts';
import { firstVm } from '../../vm/vm-place.ts';
import { mariadbGuest as server, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { runSql } from '../../workload/sql-client.ts';
import { domainName, domainXml, startLibvirt, virsh } from './libvirt.fixture.ts';
import { untilAnswers } from './until-answers.fixture.ts';

const rowsPerTable = 200_000;
const migrationBitsPerSecond = 250e6;
const destinationUri = 'qemu+ssh://dst/system';
const root = path.join(import.meta.dirname, '../../..');

/** Makes the package of this checkout and installs it on a host, with nothing else. */
async function installPackage(hosts: readonly Host[], log: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-packages-'));
  try {
    await execa(process.execPath, ['scripts/make-packages.ts', folder], { cwd: root });
    const file = (await readdir(folder)).find((name) => name.startsWith('poolshift_')) ?? '';
    for (const host of hosts) {
      await host.copyTo(path.join(folder, file), `/root/${file}`);
      await host.run(`dpkg --install /root/${file}`, { timeoutMs: 120_000 });
    }
    log(`${file} is installed`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** ssh from the source to the destination as root, by way of the migration network, as an operator has it. */
async function joinBySsh({ hosts, networks }: Testbed): Promise<void> {
  const address = networks.migration.addresses.dst;
  const key = await hosts.src.run(`set -e
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
printf '%s dst\\n' ${address} >> /etc/hosts
cat /root/.ssh/id_ed25519.pub`);
  await hosts.dst.run(`cat >> /root/.ssh/authorized_keys`, { input: key.stdout });
  const { stdout } = await hosts.dst.run(`cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub`);
  await hosts.src.run(`cat >> /root/.ssh/known_hosts`, { input: `dst ${stdout}` });
}

const lineSchema = z.looseObject({ event: z.string() });
type Line = z.infer<typeof lineSchema>;

const pidFile = '/run/poolshift/command.pid';

/** The command on the source host, and what it prints. */
class Command {
  readonly lines: Line[] = [];
  readonly ended: Promise<number | undefined>;
  errors = '';
  readonly #host: Host;
  readonly #child: HostProcess;
  #waiting: { readonly accepts: (line: Line) => boolean; readonly resolve: (line: Line) => void }[] = [];

  constructor(host: Host, vm: string, options: string) {
    this.#host = host;
    this.#child = host.spawn(`echo $$ > ${pidFile}; exec poolshift migrate ${vm} --json ${options}`);
    this.ended = this.#read();
  }

  async #read(): Promise<number | undefined> {
    for await (const text of this.#child.lines) {
      const line = lineSchema.parse(JSON.parse(text));
      this.lines.push(line);
      for (const { accepts, resolve } of this.#waiting) if (accepts(line)) resolve(line);
    }
    const { exitCode, stderrTail } = await this.#child.ended;
    this.errors = stderrTail;
    return exitCode;
  }

  /** The first line from now on that is accepted. Rejects when the command ends without one. */
  async line(accepts: (line: Line) => boolean): Promise<Line> {
    const { promise, resolve } = Promise.withResolvers<Line>();
    this.#waiting.push({ accepts, resolve });
    const ended = this.ended.then((code) => {
      throw new Error(
        `ended with ${code ?? 'nothing'}: ${this.errors} ${JSON.stringify(this.lines.slice(-5))}`,
      );
    });
    return Promise.race([promise, ended]);
  }

  phase(...names: readonly string[]): Promise<Line> {
    return this.line(({ event, phase }) => event === 'progress' && names.includes(String(phase)));
  }

  async interrupt(): Promise<void> {
    await this.#host.run(`kill -INT "$(cat ${pidFile})"`);
  }

  get end(): Line | undefined {
    return this.lines.findLast(({ event }) => event === 'end');
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }
}

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
  await joinBySsh(testbed);
  await installPackage([src, dst], log);

  await src.run(`cat > /run/poolshift/domain.xml`, { input: await domainXml(machine) });
  await virsh(src, 'create --validate /run/poolshift/domain.xml');

  // Before the guest is up nobody answers at the agent's port.
  const early = await src.run(`poolshift check ${domainName} ${destinationUri}`, {
    okExitCodes: [4],
    timeoutMs: 180_000,
  });
  log(early.stdout);
  t.regex(early.stdout, /^NO +agent: it does not answer/m);

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

  const migrate = (options = '', vm = `${domainName} ${destinationUri}`): Command => {
    const command = new Command(
      src,
      vm,
      `--available-switchover-bandwidth 28 --metrics /root/poolshift.prom ${options}`,
    );
    t.teardown(() => command.stop());
    return command;
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
  await aborted.phase('restoring');
  await aborted.interrupt();
  t.is(await aborted.ended, 130, aborted.errors);
  t.is(aborted.end?.['outcome'], 'cancelled');
  await staysAtSource('aborted');
  t.is(await virsh(dst, 'list --all --name'), '');
  log('aborted');

  // At once again, over the same paths; the source engine is killed.
  const killed = migrate('--method restore');
  await killed.phase('restoring');
  const units = await src.run(`systemctl list-units --plain --no-legend 'poolshift-*'`);
  t.regex(units.stdout, new RegExp(`^poolshift-source-${domainName}\\.service +loaded +active`, 'm'));
  await src.run(`systemctl kill --signal=KILL poolshift-source-${domainName}.service`);
  t.is(await killed.ended, 1, killed.errors);
  t.is(killed.end?.['outcome'], 'failed');
  log(JSON.stringify(killed.end));
  await staysAtSource('source engine killed');
  t.is(await virsh(dst, 'list --all --name'), '');

  // The destination cannot be reached any more: neither by engines, nor by ssh.
  const cut = migrate('--method restore');
  await cut.phase('restoring');
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

  const moved = migrate();
  t.is(await moved.ended, 0, moved.errors);
  log(JSON.stringify(moved.end));
  t.is(moved.end?.['outcome'], 'migrated');
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
    t.is((await host.run(`find /run/poolshift/migrations -name key`)).stdout, '');
    t.regex((await host.run('journalctl --quiet -t poolshift')).stdout, /: migrated \(total /);
  }
  const metrics = await src.run('cat /root/poolshift.prom');
  t.regex(metrics.stdout, new RegExp(`^poolshift_migration_downtime_seconds\\{vm="${domainName}",`, 'm'));

  // Without libvirt: the same guest, as QEMUs that somebody else has started.
  await virsh(dst, `destroy ${domainName}`);
  await startVm(src, machine);
  t.teardown(() => stopVm(src));
  await waitForServer({ client, vmHost: src, server, timeoutMs: 300_000 });
  for (const table of [1, 2])
    await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  await startVm(dst, { ...machine, role: 'target' });
  t.teardown(() => stopVm(dst));
  // The other QMP socket is the harness's own.
  const qmp = firstVm.machine.paths.recorderSocket;
  const vm = `--source-qmp ${qmp} --target-qmp ssh://dst${qmp}`;
  const bare = migrate('--method restore', vm);
  await bare.phase('restoring');
  await bare.interrupt();
  t.is(await bare.ended, 130, bare.errors);
  t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest1'), [[String(rowsPerTable)]]);
  // A target waits once (QEMU, migrate-incoming).
  await stopVm(dst);
  const target = await startVm(dst, { ...machine, role: 'target' });
  const movedBare = migrate('', vm);
  t.is(await movedBare.ended, 0, movedBare.errors);
  log(JSON.stringify(movedBare.end));
  t.true(Number(movedBare.end?.['pagesVerified']) > 5000);
  t.is((await target.execute('query-status')).status, 'running');
  await waitForServer({ client, vmHost: dst, server, timeoutMs: 60_000 });
});
