/** Hosts that are slow for some seconds, made so from within; part of the conformance tests. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext, TestFn } from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import type { Host, Testbed } from './host.ts';

/** Sets $sessions to the ssh daemon's processes of the connection that runs it. */
const ownSessions = `process=$$ sessions=
while [ "$process" -gt 1 ]; do
  parent=$(sed -n 's/^PPid:\\t//p' "/proc/$process/status")
  case $(cat "/proc/$process/comm") in sshd-session | sshd-auth) sessions="$process $sessions" ;; esac
  process=$parent
done`;

/** Ends the connection that runs it. */
export const killOwnConnection = `${ownSessions}
kill -KILL $sessions`;

/**
 * Stops the processes in $processes for some seconds, a little later, so that the script that asks for it can end. What
 * came of it stands in a file: the state of the last of them, "T", and when they went on, in ns since the epoch.
 */
const stall = (file: string, seconds: number): string => `rm -f ${file}
setsid --fork bash -c 'sleep 0.3
kill -STOP $1
for process in $1; do :; done
sleep 0.2
sed "s/.*) //; s/ .*//" /proc/$process/stat > ${file}
sleep ${seconds}
date +%s%N >> ${file}
kill -CONT $1' bash "$processes" < /dev/null > /dev/null 2>&1`;

/** Two roles may be one machine. */
const stalled = { session: '/run/poolshift/stalled-session', daemon: '/run/poolshift/stalled-daemon' };

/** The connection that runs it does nothing for some seconds; neither side is told. */
const stallOwnConnection = (seconds: number): string => `${ownSessions}
processes=$sessions
${stall(stalled.session, seconds)}`;

/** New connections are accepted by the kernel, and nobody speaks to them for some seconds. */
const stallDaemon = (seconds: number): string => `processes=$(systemctl show --property=MainPID --value ssh)
${stall(stalled.daemon, seconds)}`;

const stallSeconds = 3;
/** By then the processes have been stopped. */
const untilStalledMs = 1500;

/** About 6 s. */
export function testSlowHosts(
  test: TestFn,
  { name, testbed }: { readonly name: string; readonly testbed: () => Testbed },
): void {
  test.serial(`${name}: what is asked of hosts that stall for seconds is done late, and whole`, async (t) => {
    const { src, client } = testbed().hosts;
    await Promise.all([openConnectionStalls(t, src), newConnectionStalls(t, client)]);
  });
}

async function openConnectionStalls(t: ExecutionContext, host: Host): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'poolshift-slow-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeFile(path.join(folder, 'file'), 'content');
  const beside = host.spawn('echo up; cat; exit 5');
  const lines = beside.lines[Symbol.asyncIterator]();
  await lines.next();

  await host.run(stallOwnConnection(stallSeconds));
  await sleep(untilStalledMs);
  beside.write('through\n');
  const [late, line] = await Promise.all([
    // Less than the stall: it is the command's own time that counts.
    host.run('date +%s%N', { timeoutMs: 1000 }),
    lines.next(),
    host.copyTo(path.join(folder, 'file'), '/root/copied/slow'),
  ]);
  t.deepEqual(line, { done: false, value: 'through' });
  t.is((await host.run('cat /root/copied/slow')).stdout, 'content');
  const [state, wentOnNs] = (await host.run(`cat ${stalled.session}`)).stdout.split('\n');
  t.is(state, 'T', 'the connection was stopped');
  t.true(BigInt(late.stdout) > BigInt(wentOnNs ?? ''), 'the command ran when it went on');
  beside.closeInput();
  t.is((await beside.ended).exitCode, 5);
}

async function newConnectionStalls(t: ExecutionContext, host: Host): Promise<void> {
  await host.run(stallDaemon(stallSeconds));
  await sleep(untilStalledMs);
  const error = await t.throwsAsync(host.run(killOwnConnection), {
    instanceOf: CodedError,
    name: 'HostError',
  });
  t.is(error.code, 'unreachable');
  t.regex((await host.run(`cat ${stalled.daemon}; echo again`)).stdout, /^T\n\d+\nagain\n$/);
}
