/** What the local lab's hosts and networks are good for, on one lab. Takes about 45 s. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { z } from 'zod';
import {
  type Host,
  type HostProcess,
  type NetworkName,
  type Testbed,
  hostNames,
  networkNames,
} from '../host.ts';
import { HostError } from '../host-error.ts';
import { startLocalTestbed } from './start.ts';

const mbit = 1e6;
let testbed: Testbed;
let folder = '';
let orphan: HostProcess;

test.before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'poolshift-hosts-'));
  testbed = await startLocalTestbed({
    rates: { migration: 125 * mbit, storage: 125 * mbit, service: undefined },
    keep: () => false,
    owner: 'hosts.lab.test.ts',
    log: (line) => {
      console.error(line);
    },
  });
});
test.after.always(async () => {
  await testbed.close();
  await rm(folder, { recursive: true, force: true });
});

/** Whether a process whose arguments hold this text runs on the host. */
async function runs(host: Host, text: string): Promise<boolean> {
  // The brackets keep the pattern from finding itself.
  const pattern = `[${text.slice(0, 1)}]${text.slice(1)}`;
  return (await host.run(`pgrep --full '${pattern}'`, { okExitCodes: [0, 1] })).exitCode === 0;
}

async function eventually(check: () => Promise<boolean>, seconds: number): Promise<boolean> {
  const deadlineMs = performance.now() + seconds * 1000;
  while (performance.now() < deadlineMs) {
    if (await check()) return true;
    await sleep(100);
  }
  return false;
}

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

// Started first and looked at last: the host gives such a command some time to end by itself.
test.serial('a command whose ssh client is killed', async (t) => {
  orphan = testbed.hosts.client.spawn('sleep 7001; true');
  t.true(await eventually(() => runs(testbed.hosts.client, 'sleep 7001'), 10));
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  const clients: number[] = [];
  for (const pid of children.trim().split(' '))
    if ((await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes('sleep 7001')) clients.push(Number(pid));
  t.is(clients.length, 1);
  for (const pid of clients) process.kill(pid, 'SIGKILL');
});

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
  const error = await t.throwsAsync(testbed.hosts.dst.run(`touch ${cache}/x`), { instanceOf: HostError });
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
  for (const role of ['all', 'host', 'nfs', 'client'])
    t.is((await src.run(`bash /tmp/provision.sh ${role}`)).stdout, '', role);
  const error = await t.throwsAsync(src.run('bash /tmp/provision.sh'), { instanceOf: HostError });
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

test.serial('run: input, output, exit codes and time limits', async (t) => {
  const { src } = testbed.hosts;
  const input = new Uint8Array(300_000).fill(65);
  t.is((await src.run('cat', { input })).stdout.length, 300_000);
  t.is((await src.run('echo out; echo err >&2; exit 3', { okExitCodes: [3] })).stderr, 'err\n');

  const failed = await t.throwsAsync(src.run('echo why >&2; exit 4'), { instanceOf: HostError });
  t.is(failed.code, 'command-failed');
  t.is(failed.exitCode, 4);
  t.true(failed.message.endsWith('\nwhy'));

  const late = await t.throwsAsync(src.run('sleep 7002 & echo begun; sleep 7002', { timeoutMs: 500 }), {
    instanceOf: HostError,
  });
  t.is(late.code, 'timeout');
  t.regex(late.message, /begun/);
  t.true(await eventually(async () => !(await runs(src, 'sleep 7002')), 2));
});

test.serial('spawn: lines wait for their reader, input arrives, its end ends the command', async (t) => {
  const command = testbed.hosts.src.spawn('seq 3000; cat; exit 5');
  command.write('hello\n');
  await sleep(500);
  command.closeInput();
  const lines: string[] = [];
  for await (const line of command.lines) lines.push(line);
  t.is(lines.length, 3001);
  t.is(lines.at(-1), 'hello');
  t.is((await command.ended).exitCode, 5);
});

test.serial('spawn: stop ends the command and its children, even those that ignore it', async (t) => {
  const { src } = testbed.hosts;
  const command = src.spawn(`(trap '' TERM; sleep 7003 & wait) & sleep 7003 & echo up; wait`);
  for await (const line of command.lines) {
    t.is(line, 'up');
    break;
  }
  await command.stop();
  t.false(await runs(src, 'sleep 7003'));
  await command.stop();

  const hasty = src.spawn('sleep 7004');
  await hasty.stop();
  t.true(await eventually(async () => !(await runs(src, 'sleep 7004')), 2));
});

test.serial('spawn: what a command leaves running goes with it', async (t) => {
  const { src } = testbed.hosts;
  const command = src.spawn('sleep 7005 > /dev/null 2>&1 & exit 0');
  t.is((await command.ended).exitCode, 0);
  t.true(await eventually(async () => !(await runs(src, 'sleep 7005')), 2));
  t.is((await src.run('ls /run/poolshift/spawned')).stdout.trim(), '');
});

test.serial('folders and files are copied both ways', async (t) => {
  const { src } = testbed.hosts;
  await writeFile(path.join(folder, 'one file'), 'content');
  await src.run('rm -rf /tmp/copied');
  await src.copyTo(folder, '/tmp/copied/there');
  await src.copyFrom('/tmp/copied/there', path.join(folder, 'back'));
  t.is(await readFile(path.join(folder, 'back/one file'), 'utf8'), 'content');
  const error = await t.throwsAsync(src.copyFrom('/nowhere', folder), { instanceOf: HostError });
  t.is(error.code, 'copy-failed');
});

test.serial('a socket of a host can be used here, also after its server was started anew', async (t) => {
  const { dst } = testbed.hosts;
  for (const answer of ['first', 'second']) {
    const server = dst.spawn(`exec socat UNIX-LISTEN:/run/check.sock,fork SYSTEM:'echo ${answer}; cat'`);
    await dst.run('until [ -S /run/check.sock ]; do sleep 0.05; done');
    const local = await dst.forwardSocket('/run/check.sock');
    const socket = net.connect(local);
    socket.end('ping');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    t.is(Buffer.concat(chunks).toString(), `${answer}\nping`);
    await server.stop();
    await dst.run('rm -f /run/check.sock');
  }
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

test.serial('a command whose ssh client was killed is gone', async (t) => {
  t.true(await eventually(async () => !(await runs(testbed.hosts.client, 'sleep 7001')), 25));
  t.is((await orphan.ended).exitCode, undefined);
});
