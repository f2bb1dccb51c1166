import test from 'ava';
import { judgePoolLoad } from './warm-up.ts';

for (const [status, judgement] of [
  ['', 'loading'],
  ['Loading of buffer pool not started', 'loading'],
  ['Loading buffer pool(s) from /var/lib/mysql/ib_buffer_pool', 'loading'],
  ['Loaded 5121/20933 pages', 'loading'],
  ['Buffer pool(s) load completed at 261125 12:44:02', 'completed'],
  ['Buffer pool(s) load completed at 261125 12:44:02 (ib_buffer_pool was empty)', 'failed'],
  ['Buffer pool(s) load aborted on request', 'failed'],
  ["Cannot open '/var/lib/mysql/ib_buffer_pool' for reading: No such file or directory", 'failed'],
  ["Error parsing '/var/lib/mysql/ib_buffer_pool', unable to load buffer pool (stage 1)", 'failed'],
] as const) {
  test(`"${status}" is ${judgement}`, (t) => {
    t.is(judgePoolLoad(status), judgement);
  });
}
