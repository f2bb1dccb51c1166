import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Turns } from './turns.ts';

test('work is done in order, one at a time, and work that fails holds nobody up', async (t) => {
  const turns = new Turns();
  const log: string[] = [];
  const work = (name: string, ms: number) => async () => {
    log.push(`${name} begins`);
    await sleep(ms);
    log.push(`${name} ends`);
    return name;
  };
  const first = turns.take(work('first', 20));
  const failing = turns.take(async () => {
    throw new Error('no server');
  });
  const last = turns.take(work('last', 1));
  await t.throwsAsync(failing, { message: 'no server' });
  t.is(await first, 'first');
  t.is(await last, 'last');
  t.deepEqual(log, ['first begins', 'first ends', 'last begins', 'last ends']);
});
