import test from 'ava';
import { explanationOf } from './explanation.ts';

test('a list is told in words: what is in it, what is not and why, the largest first, and what failed', (t) => {
  const lines = explanationOf({
    server: {
      product: 'mariadb',
      version: '10.11.19-MariaDB',
      method: 'scan',
      cachedPages: 0,
      dirtyPages: 0,
      excludedPages: 0,
    },
    runs: { coldPages: 384 },
    heatUnknown: ['mysql 9 (pid 2): it has evicted none'],
    pageCount: 512,
    sources: [{ kind: 'disk', disk: 'pool0' }],
    leftOut: { dirty: 256, lvm: 1024 },
    failures: [{ program: 'mysql 9 (pid 2)', code: 'internal', message: 'EIO' }],
  });
  t.deepEqual(lines, [
    'mariadb 10.11.19-MariaDB, found by a scan of its memory',
    '     2.0 MiB  listed, on pool0',
    '     1.5 MiB  of it cold: not used for a while, and last in the list',
    'which pages are cold is not known of mysql 9 (pid 2): it has evicted none',
    '     4.0 MiB  left out (lvm): on LVM, in a volume that is neither linear nor striped',
    '     1.0 MiB  left out (dirty): changed in memory and not written yet',
    'failed (internal): mysql 9 (pid 2): EIO',
  ]);
});
