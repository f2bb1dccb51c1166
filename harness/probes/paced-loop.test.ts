import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { startPacedLoop } from './paced-loop.ts';

test('a turn never begins before the one before has ended, and none after stop', async (t) => {
  let running = 0;
  let turns = 0;
  const loop = startPacedLoop(1, async () => {
    running += 1;
    turns += 1;
    t.is(running, 1);
    await sleep(10);
    running -= 1;
  });
  await sleep(100);
  await loop.stop();
  t.is(running, 0, 'stop waits for the turn under way');
  const afterStop = turns;
  t.true(afterStop >= 2);
  await sleep(30);
  t.is(turns, afterStop);
});

test('failing turns are tried again, ever more slowly', async (t) => {
  const startedMs: number[] = [];
  const loop = startPacedLoop(1, () => {
    startedMs.push(performance.now());
    return Promise.reject(new Error('no server'));
  });
  await sleep(400);
  await loop.stop();
  // 20 + 40 + 80 + 160 ms: the fifth turn begins after 300 ms.
  t.true(startedMs.length >= 3 && startedMs.length <= 5, `${startedMs.length} turns`);
});
