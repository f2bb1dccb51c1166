import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { systemErrorCode } from './guest-error.ts';
import { fairly, findProcesses } from './processes.ts';
import { isListening } from './server-sockets.ts';

/** Ends in a folder whose path is longer than the kernel tells (4096 bytes), and runs there, with a file of that folder open. */
const goDeep = `
  name=$(printf %0200d 0)
  for step in $(seq 25); do mkdir $name && cd -P $name || exit 1; done
  cp /bin/sleep mysqld && exec ./mysqld 60 3>file
`;

function isTooDeep(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === '';
  } catch (error) {
    return systemErrorCode(error) === 'ENAMETOOLONG';
  }
}

test('a program that lies deeper than a path is long costs itself alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'deep-'));
  const deep = spawn('/bin/sh', ['-c', goDeep], { cwd: folder, stdio: 'ignore' });
  t.teardown(async () => {
    deep.kill();
    await once(deep, 'exit');
    // Node's own rm names whole paths.
    execFileSync('rm', ['-rf', folder]);
  });
  const { pid = 0 } = deep;
  while (!isTooDeep(pid)) await sleep(20);
  const own = spawn('/bin/sleep', ['60']);
  t.teardown(() => own.kill());
  await once(own, 'spawn');
  const found = findProcesses(new Set(['sleep', 'mysqld'])).map((one) => one.pid);
  t.true(found.includes(own.pid ?? 0));
  t.false(found.includes(pid));
  t.false(isListening(pid));
});

test('any number of processes of one user leave those of others their turn, and the system its own', (t) => {
  const of = (...userIds: readonly number[]) => userIds.map((userId, size) => ({ userId, size }));
  t.deepEqual(
    fairly(of(1000, 1000, 1000, 1001, 101, 101, 0, 100_000)).map(({ userId }) => userId),
    [101, 0, 101, 1000, 1001, 100_000, 1000, 1000],
  );
  const kernel: { readonly userId?: number } = {};
  t.deepEqual(fairly([...of(NaN, 0), kernel]), [{ userId: 0, size: 1 }, kernel, { userId: NaN, size: 0 }]);
});
