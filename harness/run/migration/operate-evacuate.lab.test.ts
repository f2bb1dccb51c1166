/**
 * `poolshift evacuate`, between two libvirt daemons: a host with two database VMs, which move at once, and one that the engines cannot
 * help. About four minutes under TCG.
 */
import test from 'ava';
import type { Host } from '../../testbed/host.ts';
import { mariadbGuest, prepareGuestLab } from '../../vm/guest.fixture.ts';
import { prepareVmHost } from '../../vm/vm-host.ts';
import { addressOf, hostOf, secondVm, vmPlaces } from '../../vm/vm-place.ts';
import { runSql } from '../../workload/sql-client.ts';
import { domainXml, startLibvirt, virsh } from './libvirt.fixture.ts';
import { installPackage, joinBySsh, limitLinks } from './operate.fixture.ts';
import { untilAnswers } from './until-answers.fixture.ts';
import { mib } from '../../../foundation/quantity.ts';

const rowsPerTable = 60_000;
/** Without a disk, a system, or an agent. */
const tinyDomain = (name: string, devices = ''): string => `<domain type="qemu">
  <name>${name}</name>
  <memory unit="MiB">32</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices>${devices}</devices>
</domain>
`;

test('poolshift evacuate, of two database VMs at once and one that the engines cannot help', async (t) => {
  t.timeout(30 * 60_000);
  const startedMs = performance.now();
  const log = (line: string): void => {
    t.log(`${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
  };
  const { testbed, machine, diskPath } = await prepareGuestLab(t, {
    owner: 'operate-evacuate.lab.test.ts',
    rates: { migration: 250e6, storage: 62.5e6, service: 125e6 },
    rowsPerTable,
    agent: true,
    log,
  });
  const { src, dst, client, nfs } = testbed.hosts;
  await startLibvirt(src, '0e2cc5f0-2f5c-4f0e-9d55-7d1f6a3c0001');
  await startLibvirt(dst, '0e2cc5f0-2f5c-4f0e-9d55-7d1f6a3c0002');
  await joinBySsh(testbed, 'src', ['dst']);
  await installPackage([src, dst], log);

  if (machine.disk.kind !== 'nfs') throw new Error('the disk must be on NFS');
  const secondDisk = diskPath.replace(/\.img$/, '-2.img');
  await nfs.run(`cp --sparse=always ${diskPath} ${secondDisk}`);
  await Promise.all([src, dst].map((host) => prepareVmHost(host, testbed, vmPlaces)));
  // Small, since there are two of them.
  const first = { ...machine, memoryBytes: 256 * mib, bufferPoolBytes: 64 * mib };
  const machines = [
    first,
    {
      ...first,
      ...secondVm.machine,
      guestAddress: addressOf(secondVm, testbed.guestAddress),
      disk: { ...machine.disk, path: secondDisk },
    },
  ];
  const servers = vmPlaces.map((place) => ({
    ...mariadbGuest,
    host: hostOf(place, testbed.guestAddress),
  }));
  const create = async (xml: string): Promise<void> => {
    await src.run(`cat > /run/poolshift/domain.xml`, { input: xml });
    await virsh(src, 'create --validate /run/poolshift/domain.xml');
  };
  const check = async (domain: string, options = ''): Promise<string> => {
    const command = `poolshift check ${domain} qemu+ssh://dst/system ${options}`;
    const { stdout } = await src.run(command, { okExitCodes: [4], timeoutMs: 300_000 });
    log(stdout);
    return stdout;
  };
  for (const description of machines) await create(await domainXml(description));
  await create(tinyDomain('tiny'));
  const checked = await check('tiny', '--add-channel');
  t.regex(checked, /^tiny has the agent's channel now$/m);
  t.regex(checked, /^NO +agent: it does not answer/m);
  // Of a channel that a domain was started with, libvirt knows whether anything in the guest has it open.
  const channel = '<channel type="unix"><target type="virtio" name="poolshift.agent.0"/></channel>';
  await create(tinyDomain('with-channel', channel));
  t.regex(
    await check('with-channel'),
    /^NO +agent: it does not answer: nothing in the guest has opened the channel$/m,
  );
  await virsh(src, 'destroy with-channel');
  for (const server of servers) {
    await untilAnswers(client, src, server);
    for (const table of [1, 2])
      await runSql(client, server, `SELECT COUNT(*), SUM(LENGTH(pad)) FROM sbtest.sbtest${table}`);
  }
  log('the tables are read');

  const evacuate = async (from: Host, to: Host, options: string): Promise<void> => {
    const { stdout, stderr } = await from.run(
      `poolshift evacuate --to qemu+ssh://${to.name}/system --parallel 2 --or-plain ${options}`,
      { timeoutMs: 20 * 60_000 },
    );
    log(stdout + stderr);
    const lines = stdout.split('\n');
    const table = lines.slice(lines.findIndex((line) => line.startsWith('domain ')));
    t.is(table.length, 5);
    t.regex(table[1] ?? '', /^tiny .* migrated, plain$/);
    for (const row of table.slice(2, 4)) {
      const [, restored = '', listed = ''] = /^poolshift\S* .* (\d+) of (\d+) +migrated$/.exec(row) ?? [];
      t.true(Number(restored) > 1000 && Number(restored) <= Number(listed), row);
    }
    t.is(await virsh(from, 'list --all --name'), '');
    t.deepEqual((await virsh(to, 'list --name')).split('\n').sort(), ['poolshift', 'poolshift-1', 'tiny']);
    for (const server of servers) {
      await untilAnswers(client, to, server);
      t.deepEqual(await runSql(client, server, 'SELECT COUNT(*) FROM sbtest.sbtest2'), [
        [String(rowsPerTable)],
      ]);
    }
  };
  await evacuate(src, dst, '--available-switchover-bandwidth 28');
  await joinBySsh(testbed, 'dst', ['src']);
  // So slow that an emulated guest makes its list while QEMU is in its first pass.
  await limitLinks(testbed, 'dst', 40, 62.5);
  await evacuate(dst, src, '--method resume --before-switch 30');
});
