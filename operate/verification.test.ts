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

const page = 4096;
const chunk = 16 << 20;

asRoot('memory that differs', async (t) => {
  const pairs: Record<string, readonly [before: string, after: string]> = {
    'at its end': [`${40 * 2 ** 20 - 4}=1`, ''],
    'in two chunks': ['0=1', `${2 * chunk}=1`],
    'in two pages of one chunk': [`${page}=2,9,9 ${3 * page}=1`, `${page}=4,9,9`],
    'in one that is no wall clock': [`${page}=4,9,9`, `${page}=2,9,9`],
  };
  for (const [where, [before, after]] of Object.entries(pairs))
    t.deepEqual(await verdictOf(before, after), ['differs', 'left alone'], where);
});

asRoot('memory that is equal: the domain is to go on, and there is none here', async (t) => {
  const isResumed = async (before: string, after: string): Promise<void> => {
    const [verdict, resumed = ''] = await verdictOf(before, after);
    t.is(verdict, 'equal');
    t.regex(resumed, /virsh .*resume/);
  };
  await isResumed('0=1', '0=1');
  // A wall clock that KVM has written anew for two CPUs.
  const at = 2 * chunk + 7 * page + 64;
  await isResumed(`${at}=2,1000,5`, `${at}=6,1000,7`);
});
