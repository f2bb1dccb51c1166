import test from 'ava';
import { pageCacheBytes, parseMeminfo } from './meminfo.ts';

test('the page cache is files and the block device, without what tmpfs holds', (t) => {
  const meminfo = parseMeminfo(
    ['MemTotal:         507964 kB', 'MemFree:           12 kB', 'Buffers:            1024 kB']
      .concat('Cached:           102400 kB', 'SwapCached:            0 kB', 'Shmem:              2400 kB')
      .concat('HugePages_Total:       0', '')
      .join('\n'),
  );
  t.is(meminfo.get('MemTotal'), 507964 * 1024);
  t.is(pageCacheBytes(meminfo), (1024 + 102400 - 2400) * 1024);
});
