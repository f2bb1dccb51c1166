/** What every testbed's hosts must do. The same tests for all of them; they need hosts that may be harmed. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestFn } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { type Host, type HostProcess, type Testbed, hostNames } from './host.ts';
import { killOwnConnection, testSlowHosts } from './slow-host.fixture.ts';

interface TestbedUnderTest {
  readonly name: string;
  /** Asked when tests run. */
  readonly testbed: () => Testbed;
  /** Runs a command on dst by a testbed that expects another host key of it. */
  readonly withWrongHostKey: () => Promise<unknown>;
  /** Cuts the connection to a host without a word to either side; returns what mends it. */
  readonly cut: (host: Host) => Promise<() => Promise<void>>;
}

/** Registers the tests, for one testbed after the other. Each takes about 20 s, and all together another 20. */
export function testConformance(test: TestFn, subjects: readonly TestbedUnderTest[]): void {
  const lookAgain = subjects.map((subject, index) => testOrphans(test, subject, 7001 + 100 * index));
  for (const [index, subject] of subjects.entries()) {
    testCommands(test, subject);
    testSpawning(test, subject, 7010 + 100 * index);
    testFilesAndSockets(test, subject);
    testLosses(test, subject, 7020 + 100 * index);
    testSlowHosts(test, subject);
  }
  // Looked at last: a host gives such a command some time to end by itself.
  for (const look of lookAgain) look();
}

/** Whether this command runs on the host; the shell that is to start it, and puts away after it, has it among its arguments. */
async function runs(host: Host, command: string): Promise<boolean> {
  const found = await host.run(`pgrep --full --exact '${command}'`, { okExitCodes: [0, 1] });
  return found.exitCode === 0;
}

async function eventually(check: () => Promise<boolean>, seconds: number): Promise<boolean> {
  const deadlineMs = performance.now() + seconds * 1000;
  while (performance.now() < deadlineMs) {
    if (await check()) return true;
    await sleep(100);
  }
  return false;
}

/** Local processes below this one whose arguments hold the text. */
async function localChildren(text: string): Promise<readonly number[]> {
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  const found: number[] = [];
  for (const pid of children.trim().split(' '))
    if ((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(text))
      found.push(Number(pid));
  return found;
}

function testOrphans(test: TestFn, { name, testbed }: TestbedUnderTest, seconds: number): () => void {
  let orphan: HostProcess;
  test.serial(`${name}: a command whose ssh client is killed`, async (t) => {
    const { client } = testbed().hosts;
    orphan = client.spawn(`sleep ${seconds}; true`);
    t.true(await eventually(() => runs(client, `sleep ${seconds}`), 10));
    const clients = await localChildren(`sleep ${seconds}`);
    t.is(clients.length, 1);
    for (const pid of clients) process.kill(pid, 'SIGKILL');
  });
  return () => {
    test.serial(`${name}: a command whose ssh client was killed is gone`, async (t) => {
      t.true(await eventually(async () => !(await runs(testbed().hosts.client, `sleep ${seconds}`)), 25));
      t.is((await orphan.ended).exitCode, undefined);
    });
  };
}

function testCommands(test: TestFn, { name, testbed }: TestbedUnderTest): void {
  test.serial(`${name}: commands run as root, with Node and this host's addresses`, async (t) => {
    const { hosts, networks } = testbed();
    for (const host of hostNames) {
      const { stdout } = await hosts[host].run('id -u; node --version; ip -4 -brief addr');
      t.regex(stdout, new RegExp(`^0\n${process.version}\n`), host);
      for (const { interfaces, addresses } of Object.values(networks))
        t.regex(stdout, new RegExp(`^${interfaces[host]}\\S* +UP +${addresses[host]}/`, 'm'));
    }
    for (const host of [hosts.src, hosts.dst])
      t.regex((await host.run(`${host.qemuBinary} --version`)).stdout, /^QEMU emulator version/);
  });

  test.serial(`${name}: run: input, output and exit codes`, async (t) => {
    const { src } = testbed().hosts;
    const input = new Uint8Array(300_000).fill(65);
    t.is((await src.run('cat', { input })).stdout.length, 300_000);
    t.is((await src.run('echo out; echo err >&2; exit 3', { okExitCodes: [3] })).stderr, 'err\n');

    const failed = await t.throwsAsync(src.run('echo why >&2; exit 4'), {
      instanceOf: CodedError,
      name: 'HostError',
    });
    t.is(failed.code, 'command-failed');
    t.is(failed.exitCode, 4);
    t.true(failed.message.endsWith('\nwhy'));
  });
}

function testSpawning(test: TestFn, { name, testbed }: TestbedUnderTest, seconds: number): void {
  const [late, stopped, hasty, left] = [seconds, seconds + 1, seconds + 2, seconds + 3].map(
    (time) => `sleep ${time}`,
  ) as [string, string, string, string];

  test.serial(`${name}: run: a command that takes too long is ended with all that it started`, async (t) => {
    const { src } = testbed().hosts;
    const error = await t.throwsAsync(src.run(`${late} & echo begun; ${late}`, { timeoutMs: 500 }), {
      instanceOf: CodedError,
      name: 'HostError',
    });
    t.is(error.code, 'timeout');
    t.regex(error.message, /begun/);
    t.true(await eventually(async () => !(await runs(src, late)), 2));
  });

  test.serial(
    `${name}: spawn: lines wait for their reader, input arrives, its end ends the command`,
    async (t) => {
      const command = testbed().hosts.src.spawn('seq 3000; cat; exit 5');
      command.write('hello\n');
      await sleep(500);
      command.closeInput();
      const lines: string[] = [];
      for await (const line of command.lines) lines.push(line);
      t.is(lines.length, 3001);
      t.is(lines.at(-1), 'hello');
      t.is((await command.ended).exitCode, 5);
    },
  );

  test.serial(
    `${name}: spawn: stop ends the command and its children, even those that ignore it`,
    async (t) => {
      const { src } = testbed().hosts;
      const command = src.spawn(`(trap '' TERM; ${stopped} & wait) & ${stopped} & echo up; wait`);
      for await (const line of command.lines) {
        t.is(line, 'up');
        break;
      }
      await command.stop();
      t.false(await runs(src, stopped));
      await command.stop();

      const unseen = src.spawn(hasty);
      await unseen.stop();
      t.true(await eventually(async () => !(await runs(src, hasty)), 2));
    },
  );

  test.serial(`${name}: spawn: what a command leaves running goes with it`, async (t) => {
    const { src } = testbed().hosts;
    const before = (await src.run('ls /run/poolshift/spawned')).stdout;
    const command = src.spawn(`${left} > /dev/null 2>&1 & exit 0`);
    t.is((await command.ended).exitCode, 0);
    t.true(await eventually(async () => !(await runs(src, left)), 2));
    t.is((await src.run('ls /run/poolshift/spawned')).stdout, before);
  });
}

function testFilesAndSockets(test: TestFn, { name, testbed }: TestbedUnderTest): void {
  test.serial(`${name}: folders and files are copied both ways`, async (t) => {
    const { src } = testbed().hosts;
    const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-copied-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await writeFile(path.join(folder, 'one file'), 'content');
    // Where only root may write.
    await src.run('rm -rf /root/copied');
    await src.copyTo(folder, '/root/copied/there');
    t.is((await src.run('stat --format=%u "/root/copied/there/one file"')).stdout, '0\n');
    await src.copyFrom('/root/copied/there', path.join(folder, 'back'));
    t.is(await readFile(path.join(folder, 'back/one file'), 'utf8'), 'content');

    // A file takes the place of an older one, a folder is not mixed with another.
    await src.copyTo(path.join(folder, 'one file'), '/root/copied/there/one file');
    const mixed = await t.throwsAsync(src.copyTo(folder, '/root/copied/there'), {
      instanceOf: CodedError,
      name: 'HostError',
    });
    t.is(mixed.code, 'copy-failed');
    const error = await t.throwsAsync(src.copyFrom('/nowhere', path.join(folder, 'none')), {
      instanceOf: CodedError,
      name: 'HostError',
    });
    t.is(error.code, 'copy-failed');
    t.regex(error.message, /^on src: copy-failed: .*nowhere.*No such file/s);
    t.is((await src.run('ls -A /root/copied')).stdout, 'there\n');
  });

  test.serial(`${name}: holes of an image stay holes`, async (t) => {
    const { src } = testbed().hosts;
    await src.run('truncate --size=3G /root/copied/image; echo end >> /root/copied/image');
    const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-copied-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await src.copyFrom('/root/copied/image', path.join(folder, 'image'));
    await src.copyTo(path.join(folder, 'image'), '/root/copied/again');
    const { stdout } = await src.run('stat --format="%s %b" /root/copied/again');
    const [size, blocks] = stdout.trim().split(' ').map(Number);
    t.is(size, 3 * 2 ** 30 + 4);
    t.true((blocks ?? Infinity) < 1000, stdout);
  });

  for (const host of ['src', 'dst'] as const)
    test.serial(
      `${name}: a socket of ${host} can be used here, also after its server was started anew`,
      async (t) => {
        const target = testbed().hosts[host];
        for (const answer of ['first', 'second']) {
          const server = target.spawn(
            `exec socat UNIX-LISTEN:/run/check.sock,fork SYSTEM:'echo ${answer}; cat'`,
          );
          await target.run('until [ -S /run/check.sock ]; do sleep 0.05; done');
          const local = await target.forwardSocket('/run/check.sock');
          const socket = net.connect(local);
          socket.end('ping');
          const chunks: Buffer[] = [];
          socket.on('data', (chunk: Buffer) => chunks.push(chunk));
          await once(socket, 'close');
          t.is(Buffer.concat(chunks).toString(), `${answer}\nping`);
          await server.stop();
          await target.run('rm -f /run/check.sock');
        }
      },
    );
}

function testLosses(test: TestFn, subject: TestbedUnderTest, seconds: number): void {
  const { name, testbed } = subject;
  test.serial(
    `${name}: a host whose connection ends in mid-command is unreachable, and can be used again`,
    async (t) => {
      const { src } = testbed().hosts;
      const beside = src.spawn(`echo up; exec sleep ${seconds}`);
      // A client that is late would make a connection of its own, and nothing would end it.
      t.deepEqual(await beside.lines[Symbol.asyncIterator]().next(), { done: false, value: 'up' });
      const error = await t.throwsAsync(src.run(`${killOwnConnection}; sleep ${seconds + 1}`), {
        instanceOf: CodedError,
        name: 'HostError',
      });
      t.is(error.code, 'unreachable');
      t.is((await beside.ended).exitCode, 255);
      t.is((await src.run('echo again')).stdout, 'again\n');
      // The connection is gone; stopping it goes by a new one.
      await beside.stop();
      t.true(await eventually(async () => !(await runs(src, `sleep ${seconds}`)), 2));
    },
  );

  test.serial(`${name}: a host that falls silent in mid-command is given up, and comes back`, async (t) => {
    const { nfs } = testbed().hosts;
    const beside = nfs.spawn('echo up; cat');
    const lines = beside.lines[Symbol.asyncIterator]();
    t.deepEqual(await lines.next(), { done: false, value: 'up' });
    const running = nfs.run(`sleep ${seconds + 2}`, { timeoutMs: 1500 });
    await sleep(500);
    const mend = await subject.cut(nfs);
    try {
      const error = await t.throwsAsync(running, { instanceOf: CodedError, name: 'HostError' });
      t.is(error.code, 'timeout');
    } finally {
      await mend();
    }
    // Giving up has not taken so long that the whole connection was lost.
    beside.write('still there\n');
    t.deepEqual(await lines.next(), { done: false, value: 'still there' });
    await beside.stop();
    t.true(await eventually(async () => !(await runs(nfs, `sleep ${seconds + 2}`)), 10));
  });

  test.serial(`${name}: a host with another key is not talked to`, async (t) => {
    const error = await t.throwsAsync(subject.withWrongHostKey(), {
      instanceOf: CodedError,
      name: 'HostError',
    });
    t.is(error.code, 'unreachable');
    t.regex(error.message, /Host key verification failed/);
  });
}
