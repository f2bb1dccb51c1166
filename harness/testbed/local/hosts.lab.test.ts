/**
 * What the local lab's hosts and networks are good for, and the conformance of two testbeds on them: the lab itself, and an
 * inventory that lists its hosts; what the doctor says of them. One lab,
 * about 120 s.
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { z } from 'zod';
import { $ } from 'zx';
import { CodedError } from '../../../foundation/coded-error.ts';
import { optionsSchema, resolveConfiguration } from '../../../experiments/configuration.ts';
import { testDoctor } from '../../doctor/doctor.fixture.ts';
import { examine } from '../../doctor/examine.ts';
import type { Finding } from '../../doctor/finding.ts';
import { testConformance } from '../conformance.fixture.ts';
import { type Host, type NetworkName, type Testbed, hostNames, networkNames } from '../host.ts';
import { testHolding } from '../inventory/hold.fixture.ts';
import { parseInventory } from '../inventory/read-inventory.ts';
import { startInventoryTestbed } from '../inventory/start.ts';
import { sshConfig } from '../ssh-config.ts';
import { SshHost, programFolder } from '../ssh-host.ts';
import { addSudoUser, labInventory, sudoUsers } from './lab-inventory.fixture.ts';
import { labAddress, labSshEntries } from './lab-network.ts';
import { labFolder } from './lab-folder.ts';
import { currentLab } from './lab-state.ts';
import { startLocalTestbed } from './start.ts';

const mbit = 1e6;
let testbed: Testbed;
/** The same hosts, as an inventory lists them. */
let listed: Testbed;
let folder = '';
const log = (line: string): void => {
  console.error(line);
};

async function startListed(changes: Parameters<typeof labInventory>[0] = {}): Promise<Testbed> {
  return startInventoryTestbed({
    inventory: parseInventory(await labInventory(changes), '/lab/hosts.yaml'),
    rates: { migration: undefined, storage: undefined, service: undefined },
    keep: () => false,
    owner: 'hosts.lab.test.ts',
    log,
  });
}

test.before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'poolshift-hosts-'));
  // A test counts the folders in it, and other commands of this project may run on this machine.
  process.env['TMPDIR'] = folder;
  testbed = await startLocalTestbed({
    rates: { migration: 125 * mbit, storage: 125 * mbit, service: undefined },
    keep: () => false,
    owner: 'hosts.lab.test.ts',
    log,
  });
  await addSudoUser(testbed.hosts.src);
  await testbed.hosts.client.run('mv /usr/local/bin/node /usr/local/bin/node-away');
  listed = await startListed();
});
test.after.always(async () => {
  await listed.close();
  await testbed.close();
  await rm(folder, { recursive: true, force: true });
});

async function measuredMbit(network: NetworkName): Promise<number> {
  const { src, dst } = testbed.hosts;
  const address = testbed.networks[network].addresses.dst;
  const server = dst.spawn(`exec iperf3 --server --one-off --bind ${address}`);
  await dst.run(`until ss -ltn | grep -q ${address}:5201; do sleep 0.05; done`);
  const { stdout } = await src.run(`iperf3 --client ${address} --time 2 --omit 1 --json`);
  await server.ended;
  const schema = z.object({ end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }) });
  return schema.parse(JSON.parse(stdout)).end.sum_received.bits_per_second / mbit;
}

test.serial('every host has its name, its networks, Node and what QEMU needs', async (t) => {
  for (const name of hostNames) {
    const host = testbed.hosts[name];
    const { stdout } = await host.run('hostname; node --version; ls /sys/class/net; ip -4 -brief addr');
    t.regex(stdout, new RegExp(`^${name}\n${process.version}\n`));
    for (const network of networkNames) {
      const { interfaces, addresses } = testbed.networks[network];
      t.regex(stdout, new RegExp(`^${interfaces[name]}@\\S+ +UP +${addresses[name]}/24`, 'm'));
    }
    t.notRegex(stdout, /eth0|station/);
  }
  await testbed.hosts.src.run(`set -e
test -c /dev/net/tun -a -c /dev/fuse
ip tuntap add check0 mode tap; ip link del check0
systemctl is-system-running --wait
test "$(df --output=size -B1 /dev/shm | tail -1)" -gt 14000000000
systemctl list-units --state=failed --quiet | grep . && exit 1; true`);
});

test.serial('the cache is seen on every host and cannot be written there', async (t) => {
  const cache = testbed.sharedCachePath ?? '';
  await testbed.hosts.dst.run(`ls -d ${cache}/hosts-*`);
  const error = await t.throwsAsync(testbed.hosts.dst.run(`touch ${cache}/x`), {
    instanceOf: CodedError,
    name: 'HostError',
  });
  t.regex(error.message, /^on dst: exit code 1: touch .*\n.*Read-only file system/);
});

test.serial('networks have the rates that were asked for, each its own', async (t) => {
  const at125 = await measuredMbit('migration');
  await testbed.shape('migration', 250 * mbit);
  t.is(testbed.networks.migration.rateBitsPerSecond, 250 * mbit);
  const at250 = await measuredMbit('migration');
  const other = await measuredMbit('storage');
  const free = await measuredMbit('service');
  t.log(`125: ${at125.toFixed(1)}, 250: ${at250.toFixed(1)}, not shaped: ${free.toFixed(0)} Mbit/s`);
  t.true(at125 > 105 && at125 <= 125, `${at125}`);
  t.true(at250 > 190 && at250 <= 250, `${at250}`);
  t.true(other > 105 && other <= 125, `${other}`);
  t.true(free > 300, `${free}`);
});

test.serial('provisioning a host again changes nothing', async (t) => {
  const { src } = testbed.hosts;
  await src.copyTo(path.join(import.meta.dirname, '../../../vagrant/provision.sh'), '/tmp/provision.sh');
  for (const role of ['lab', 'host', 'client'])
    t.is((await src.run(`bash /tmp/provision.sh ${role}`)).stdout, '', role);
  const error = await t.throwsAsync(src.run('bash /tmp/provision.sh'), {
    instanceOf: CodedError,
    name: 'HostError',
  });
  t.is(error.exitCode, 2);
});

test.serial('the NFS server gives VM hosts what the export holds, and takes what they write', async (t) => {
  const { nfs, src, dst } = testbed.hosts;
  await nfs.run(`truncate --size=16M ${testbed.exportPath}/check.img`);
  const url = `nfs://${testbed.networks.storage.addresses.nfs}${testbed.exportPath}/check.img`;
  await src.run(`qemu-io -f raw -c 'write -P 0xab 8M 1M' -c flush '${url}'`);
  const { stdout } = await dst.run(`qemu-io -f raw -r -c 'read -P 0xab 8M 1M' -c 'read -P 0 0 1M' '${url}'`);
  t.notRegex(stdout, /failed|error/i);
  const bytes = await nfs.run(`od -An -tx1 -j $((8 << 20)) -N 2 ${testbed.exportPath}/check.img`);
  t.is(bytes.stdout.trim(), 'ab ab');
});

test.serial('a host command takes milliseconds', async (t) => {
  const timesMs: number[] = [];
  for (let count = 0; count < 11; count += 1) {
    const startedMs = performance.now();
    await testbed.hosts.src.run('true');
    timesMs.push(performance.now() - startedMs);
  }
  timesMs.sort((a, b) => a - b);
  t.log(`median ${timesMs[5]?.toFixed(1)} ms, least ${timesMs[0]?.toFixed(1)} ms`);
  t.true((timesMs[5] ?? Infinity) < 500);
});

/** A key of the right kind that is nobody's. */
async function strangersKey(): Promise<string> {
  const file = path.join(folder, 'stranger');
  await rm(file, { force: true });
  await $`ssh-keygen -q -t ed25519 -N '' -f ${file}`;
  return (await readFile(`${file}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
}

/** The switch's port of the host's control interface goes down. */
async function cut(host: Host): Promise<() => Promise<void>> {
  const keeper = String((await currentLab())?.keeperPid);
  const set = async (state: 'down' | 'up'): Promise<void> => {
    await $`nsenter --target ${keeper} --mount --net ip -n switch link set ${host.name}-ctl ${state}`;
  };
  await set('down');
  return () => set('up');
}

test.serial('an inventory of these hosts becomes a testbed, which brings Node where it is not', async (t) => {
  t.is((await listed.hosts.client.run('command -v node')).stdout, `${programFolder}/node\n`);
  t.is((await listed.hosts.src.run('echo $SUDO_USER')).stdout, `${sudoUsers.src}\n`);
  t.deepEqual(listed.networks.migration.addresses, testbed.networks.migration.addresses);
});

async function doctorSays(changes: Parameters<typeof labInventory>[0] = {}): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  await examine({
    inventory: parseInventory(await labInventory(changes), '/lab/hosts.yaml'),
    rows: [{ mem: '4', configuration: resolveConfiguration(optionsSchema.parse({ mem: '4' })) }],
    owner: 'hosts.lab.test.ts',
    signal: new AbortController().signal,
    onFinding: (finding) => findings.push(finding),
  });
  return findings;
}

testDoctor(test, {
  hosts: () => testbed.hosts,
  exportPath: () => testbed.exportPath,
  says: doctorSays,
  strangersKey,
});

testConformance(test, [
  {
    name: 'local lab',
    testbed: () => testbed,
    withWrongHostKey: async () => {
      await writeFile(
        path.join(folder, 'known_hosts'),
        `${labAddress('control', 'dst')} ${await strangersKey()}\n`,
      );
      const proxy = `nsenter --target ${(await currentLab())?.keeperPid ?? 0} --net socat - TCP:%h:%p`;
      const entries = labSshEntries(labFolder, proxy);
      const configPath = path.join(folder, 'ssh_config');
      await writeFile(configPath, sshConfig(folder, entries));
      const options = { configPath, socketFolder: folder, qemuBinary: 'qemu-system-x86_64', sudo: false };
      await new SshHost({ name: 'dst', ...options }).run('true');
    },
    cut,
  },
  {
    name: 'inventory',
    testbed: () => listed,
    withWrongHostKey: async () => {
      await startListed({ dstHostKey: await strangersKey() });
    },
    cut,
  },
]);

test.serial(
  'an inventory that may shape sets rates on its hosts, and takes them back in the end',
  async (t) => {
    const shaped = await startListed();
    await shaped.shape('migration', 100 * mbit);
    t.is(shaped.networks.migration.rateBitsPerSecond, 100 * mbit);
    for (const name of hostNames)
      t.regex((await testbed.hosts[name].run('tc qdisc show dev mig')).stdout, /qdisc tbf .* rate 100Mbit/);
    const before = (await readdir(tmpdir())).filter((entry) => entry.startsWith('poolshift-'));
    await shaped.close();
    for (const name of hostNames)
      t.notRegex((await testbed.hosts[name].run('tc qdisc show dev mig')).stdout, /tbf/);
    const after = (await readdir(tmpdir())).filter((entry) => entry.startsWith('poolshift-'));
    t.is(after.length, before.length - 1);
  },
);

testHolding(test, {
  listed: () => listed,
  client: () => testbed.hosts.client,
  startAgain: startListed,
  listing: labInventory,
  doctorSays,
});
