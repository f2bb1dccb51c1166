import test from 'ava';
import { type Wait, type WaitVerdict, WaitWatch } from './wait-watch.ts';

/** Updates every second; what was not quiet, as [second, verdict]. */
function watch(waits: readonly (Wait | undefined)[]): [number, WaitVerdict['is']][] {
  const watch_ = new WaitWatch();
  return waits
    .map((wait, second): [number, WaitVerdict['is']] => [second, watch_.update(wait, second * 1000).is])
    .filter(([, is]) => is !== 'quiet');
}

const forSeconds = (seconds: number, wait: Wait | undefined): (Wait | undefined)[] =>
  Array.from({ length: seconds }, () => wait);

test('what does not come is said after ten seconds, and then ever more seldom', (t) => {
  t.deepEqual(watch(forSeconds(50, { what: 'storage' })), [
    [10, 'say'],
    [20, 'say'],
    [40, 'say'],
  ]);
});

test('the limit is told, and told again where it goes on', (t) => {
  t.deepEqual(watch(forSeconds(36, { what: 'storage', limitMs: 15_000 })), [
    [10, 'say'],
    [15, 'limit'],
    [25, 'say'],
    [30, 'limit'],
  ]);
});

test('progress, another wait, or none begin anew', (t) => {
  const moving = Array.from({ length: 40 }, (_, second) => ({
    what: 'storage',
    progress: Math.floor(second / 9),
  }));
  t.deepEqual(watch(moving), []);
  t.deepEqual(watch([...forSeconds(9, { what: 'storage' }), ...forSeconds(9, { what: 'the link' })]), []);
  t.deepEqual(watch([...forSeconds(9, { what: 'a' }), undefined, ...forSeconds(9, { what: 'a' })]), []);
});
