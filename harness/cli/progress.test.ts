import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Progress } from './progress.ts';

/** What comes of a second of load, until the step has ended. */
async function written(isTTY: boolean): Promise<string> {
  let text = '';
  const progress = new Progress(
    { isTTY, write: (more: string) => (text += more) },
    new Map([['load before the migration', 1000]]),
  );
  progress.event({ event: 'step-started', at_ms: 0, step: 'load before the migration' });
  progress.sample({ at_ms: 0, host: 'client', metric: 'tps', value: 8 });
  while (isTTY && !text.includes('\r')) await sleep(50);
  progress.event({ event: 'step-ended', at_ms: 0, step: 'load before the migration', duration_ms: 1000 });
  return text;
}

test('a terminal shows the step, its figures and the time left also before the migration', async (t) => {
  const text = await written(true);
  t.regex(text, /\r +[\d.]+ s {2}load before the migration: \d+ s, about \d+ s left, 8\.0 TPS/);
  t.regex(text, /load before the migration: done in 1\.0 s\n$/);
});

test('without a terminal there are whole lines only', async (t) => {
  t.notRegex(await written(false), /[\r\u001b]/);
});
