import test from 'ava';
import { GapTracker } from './gap-tracker.ts';

test('only gaps above the threshold are returned, and the longest of all is kept', (t) => {
  const tracker = new GapTracker(20);
  t.is(tracker.answer(1000), undefined, 'nothing came before the first answer');
  t.is(tracker.answer(1020), undefined, 'the threshold itself is no gap');
  t.deepEqual(tracker.answer(1041), { fromMs: 1020, toMs: 1041, gapMs: 21 });
  t.deepEqual(tracker.answer(1541), { fromMs: 1041, toMs: 1541, gapMs: 500 });
  t.is(tracker.answer(1546), undefined);
  t.is(tracker.answers, 5);
  t.is(tracker.longestGapMs, 500);
});

test('a gap that is still open can be asked for', (t) => {
  const tracker = new GapTracker(20);
  t.is(tracker.openGap(5), undefined);
  tracker.answer(10);
  t.is(tracker.openGap(30), undefined);
  t.deepEqual(tracker.openGap(1010), { fromMs: 10, toMs: 1010, gapMs: 1000 });
  t.is(tracker.longestGapMs, 1000);
});
