import test from 'ava';
import { labWaitMs } from './lab-wait.ts';

test('minutes, and nothing else', (t) => {
  t.is(labWaitMs(''), 0);
  t.is(labWaitMs('0'), 0);
  t.is(labWaitMs('1.5'), 90_000);
  for (const wrong of ['30m', '-1', 'Infinity', 'NaN', ' 5'])
    t.throws(() => labWaitMs(wrong), { name: 'CommandError', message: /minutes are needed/ }, wrong);
});
