import test from 'ava';
import { IdleTime, parseCpuTicks } from './processor-time.ts';

test('/proc/stat', (t) => {
  const stat = 'cpu  100 5 50 800 40 3 2 0 30 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n';
  t.deepEqual(parseCpuTicks(stat), { total: 1000, busy: 160 }, 'guest time is within user time');
  t.deepEqual(parseCpuTicks(''), { total: 0, busy: 0 });
});

test('what is idle is a share, also of no time at all', (t) => {
  const idleTime = new IdleTime();
  for (let i = 0; i < 3; i++) {
    const share = idleTime.share();
    t.true(share >= 0 && share <= 1, `${share}`);
  }
});
