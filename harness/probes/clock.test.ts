import test from 'ava';
import fc from 'fast-check';
import { estimateOffset, type RoundTrip } from './clock.ts';

test('the quickest round trip decides', (t) => {
  const slow = { sentMs: 0, hostMs: 5190, receivedMs: 200 };
  const quick = { sentMs: 300, hostMs: 5301.5, receivedMs: 302 };
  t.deepEqual(estimateOffset([slow, quick]), { offsetMs: 5000.5, uncertaintyMs: 1 });
});

test('the true offset is always within the stated uncertainty', (t) => {
  const delay = fc.double({ min: 0, max: 1000, noNaN: true });
  fc.assert(
    fc.property(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.array(fc.tuple(delay, delay), { minLength: 1 }),
      (trueOffset, delays) => {
        const trips = delays.map(([there, back], index): RoundTrip => {
          const sentMs = index * 3000;
          return { sentMs, hostMs: sentMs + there + trueOffset, receivedMs: sentMs + there + back };
        });
        const estimate = estimateOffset(trips as [RoundTrip, ...RoundTrip[]]);
        const rounding = 1e-6;
        t.true(Math.abs(estimate.offsetMs - trueOffset) <= estimate.uncertaintyMs + rounding);
      },
    ),
  );
});
