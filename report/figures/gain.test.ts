import test from 'ava';
import type { Run } from '../record/read-set.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { gainsOf, showsRates } from './gain.ts';

const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4], engines: ['precopy', 'restore'] });

/** The synthetic run of that method, as long as asked, at these Mbit/s and pages dirtied in a second. */
function run(
  engine: string,
  {
    seconds,
    megabits,
    dirty,
    repeat = 1,
  }: Readonly<Record<'seconds' | 'megabits' | 'dirty', number>> & { repeat?: number },
): Run {
  const found = runs.find(({ row }) => row.engine === engine);
  if (found === undefined) throw new RangeError(engine);
  return {
    ...found,
    row: { ...found.row, repeat, total_time_ms: seconds * 1000, link_bits_per_second: megabits * 1e6 },
    // What QEMU says before its first pass has ended, and after the migration, is not of it.
    series: new Map([
      [
        'src dirty_pages_per_second',
        [0, 0, dirty, dirty, dirty, 1e6].map((value, index) => ({
          tMs: (index * seconds * 1000) / 4,
          value,
        })),
      ],
    ]),
  };
}

test('each run is held against the pre-copy of its links and repeat, at the dirty rate of that one', (t) => {
  const slow = { megabits: 8, dirty: 100 };
  const gains = gainsOf([
    run('precopy', { ...slow, seconds: 60 }),
    run('precopy', { ...slow, seconds: 90, repeat: 2 }),
    run('restore', { ...slow, dirty: 7, seconds: 30, repeat: 2 }),
    run('precopy', { megabits: 80, dirty: 100, seconds: 10 }),
    run('restore', { megabits: 80, dirty: 7, seconds: 8 }),
    run('restore', { megabits: 800, dirty: 7, seconds: 8 }),
  ]);
  t.deepEqual(
    gains.map(({ gain, dirtyShare, isAtLeast }) => ({ gain, dirtyShare, isAtLeast })),
    [
      { gain: 3, dirtyShare: 0.4096, isAtLeast: false },
      { gain: 1.25, dirtyShare: 0.040_96, isAtLeast: false },
    ],
  );
});

test('each run is held against the pre-copy of its own set', (t) => {
  const rates = { megabits: 8, dirty: 100 };
  const gains = gainsOf([
    { ...run('precopy', { ...rates, seconds: 60 }), set: 'slow' },
    { ...run('precopy', { ...rates, seconds: 20 }), set: 'quick' },
    { ...run('restore', { ...rates, seconds: 10 }), set: 'quick' },
    { ...run('restore', { ...rates, seconds: 10 }), set: 'alone' },
  ]);
  t.deepEqual(
    gains.map(({ gain }) => gain),
    [2],
  );
});

test('of VMs that moved at once, each is held against the same one', (t) => {
  const rates = { megabits: 8, dirty: 100 };
  const vms = (engine: string, first: number, second: number): Run[] =>
    [first, second].map((seconds, vm) => {
      const one = run(engine, { ...rates, seconds });
      return { ...one, row: { ...one.row, vms: 2, vm } };
    });
  const gains = gainsOf([...vms('precopy', 60, 90), ...vms('restore', 30, 30)]);
  t.deepEqual(
    gains.map(({ gain }) => gain),
    [2, 3],
  );
});

test('a pre-copy that was cancelled took its time limit at the least', (t) => {
  const rates = { megabits: 8, dirty: 200 };
  const cancelled = run('precopy', { ...rates, seconds: 60 });
  const row = { ...cancelled.row, outcome: 'not-converged', total_time_ms: undefined };
  const [gain] = gainsOf([{ ...cancelled, row }, run('restore', { ...rates, seconds: 30 })]);
  t.true(gain?.isAtLeast);
  t.is(gain?.gain, cancelled.manifest.configuration.maxTimeSeconds / 30);
});

test('gains at about the same rate are no figure', (t) => {
  const at = (...shares: readonly number[]): boolean =>
    showsRates(shares.map((dirtyShare) => ({ dirtyShare })));
  t.false(at());
  t.false(at(0.07));
  t.false(at(0, 0.05, 0.09));
  t.true(at(0.1, 0.3));
});
