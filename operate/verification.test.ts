/** Memory that differs is seen, although the process that had it has ended. */
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';

const fixture = path.join(import.meta.dirname, 'verification.fixture.ts');
const asRoot = process.getuid?.() === 0 ? test : test.skip;

const verdictOf = async (before: string, after: string): Promise<readonly string[]> => {
  const script = 'mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /dev/shm; exec "$@"';
  const { stdout } = await execa('unshare', [
    ...['--mount', 'bash', '-c', script, 'bash', process.execPath, fixture, before, after],
  ]);
  return stdout.split('\n');
};

asRoot('memory that differs', async (t) => {
  t.deepEqual(await verdictOf('a', 'b'), ['differs', 'left alone']);
});

asRoot('memory that is equal: the domain is to go on, and there is none here', async (t) => {
  t.regex((await verdictOf('a', 'a'))[0] ?? '', /virsh .*resume/);
});
