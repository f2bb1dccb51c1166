import test from 'ava';
import { findPrograms } from './finders.ts';
import { GuestError } from './guest-error.ts';
import { listPages } from './list-pages.ts';
import type { CachingProgram } from './page-finder.ts';

const program: CachingProgram = {
  pid: process.pid,
  description: 'mariadb 11 (pid 1)',
  isReady: () => true,
  writeDirtyPages: async () => undefined,
  findPages: async () => {
    throw new GuestError('unknown-layout', 'no cached page was found');
  },
};

test('a kind of program that cannot be looked for is named, and costs itself alone', async (t) => {
  const kinds = {
    innodb: {
      programs: async () => {
        throw new Error('ENAMETOOLONG: name too long, readlink');
      },
    },
    postgresql: { programs: async () => [program] },
  };
  const { programs, failures } = await findPrograms([], kinds);
  t.deepEqual(programs, [program]);
  t.deepEqual(failures, [
    { program: 'innodb', code: 'internal', message: 'ENAMETOOLONG: name too long, readlink' },
  ]);
  await t.throwsAsync(listPages(programs, failures), {
    message: /innodb: ENAMETOOLONG.*; mariadb 11 .*: no cached/,
  });
  await t.throwsAsync(listPages([], failures), { message: /no program runs.*; innodb: ENAMETOOLONG/ });
  t.deepEqual(await findPrograms(['innodb'], kinds), { programs: [program], failures: [] });
});
