import test from 'ava';
import type { Recipe, RecipeClaim } from '../../experiments/recipe.ts';
import type { Run } from '../record/read-set.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { columnOf } from './columns.ts';
import { judgedClaims } from './judge.ts';

const recipe: Recipe = {
  name: 'made-up',
  title: '',
  question: '',
  scenarios: ['ro', 'rw'],
  mems: ['4'],
  engines: ['precopy', 'restore'],
  repeat: 3,
  conditions: { before: 1, after: 1 },
  tables: [],
  claims: [],
  figures: [],
};

/** Total times in s by load and engine, a repeat each; one that did not converge has none. */
type Totals = Readonly<
  Record<'ro' | 'rw', Readonly<Record<'precopy' | 'restore', readonly (number | 'cut')[]>>>
>;

const limitSeconds = 100;

function judged(totals: Totals, ...claims: readonly Omit<RecipeClaim, 'says'>[]) {
  const [any] = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4] }).runs;
  if (any === undefined) throw new RangeError('no run');
  const runs = (['ro', 'rw'] as const).flatMap((scenario) =>
    (['precopy', 'restore'] as const).flatMap((engine) =>
      totals[scenario][engine].map((seconds, index): Run => {
        const { configuration } = any.manifest;
        const row = { ...any.row, scenario, engine, repeat: index + 1 };
        return {
          ...any,
          manifest: { ...any.manifest, configuration: { ...configuration, maxTimeSeconds: limitSeconds } },
          row:
            seconds === 'cut'
              ? {
                  ...row,
                  outcome: 'not-converged',
                  total_time_ms: undefined,
                  downtime_stop_resume_ms: undefined,
                }
              : { ...row, total_time_ms: seconds * 1000 },
        };
      }),
    ),
  );
  const withClaims = { ...recipe, claims: claims.map((claim) => ({ says: 'so', ...claim })) };
  return judgedClaims({ recipe: withClaims, parts: [{ title: '', mems: recipe.mems, runs, failed: [] }] });
}

const ratio = { kind: 'ratio', column: 'total', of: 'precopy', to: 'restore' } as const;
const three: Totals = {
  ro: { precopy: [20, 22, 90], restore: [10, 10, 10] },
  rw: { precopy: [30, 30, 30], restore: [10, 20, 10] },
};

test('pairs are of one repeat, and the median of every cell counts', (t) => {
  const [atLeast, atMost, difference] = judged(
    three,
    { measure: ratio, holdsIf: { atLeast: 2.2 } },
    { measure: ratio, holdsIf: { atMost: 2.9 } },
    {
      measure: { kind: 'difference', column: 'total', of: 'restore', from: 'precopy' },
      holdsIf: { atMost: -12_000 },
    },
  );
  t.is(atLeast?.measured, 'ro: 2.20; rw: 3.00');
  t.is(atLeast?.verdict, 'holds');
  t.is(atMost?.verdict, 'does-not-hold');
  t.is(difference?.measured, 'ro: -12.0 s; rw: -20.0 s');
  t.is(difference?.verdict, 'holds');
  t.deepEqual(difference?.cells, { measured: 2, wanted: 2 });
});

test('of VMs that were moved at once, each is paired with its own', (t) => {
  const [any] = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4] }).runs;
  if (any === undefined) throw new RangeError('no run');
  const times = { precopy: [20, 60], restore: [10, 20] };
  const runs = [1, 2].flatMap((repeat) =>
    (['precopy', 'restore'] as const).flatMap((engine) =>
      times[engine].map((seconds, vm) => ({
        ...any,
        row: { ...any.row, engine, repeat, vms: 2, vm, total_time_ms: seconds * 1000 },
      })),
    ),
  );
  const claims = [{ says: 'so', measure: ratio, holdsIf: { atLeast: 2 } }];
  const parts = [{ title: '', mems: recipe.mems, runs, failed: [] }];
  const [judgement] = judgedClaims({ recipe: { ...recipe, claims }, parts });
  t.is(judgement?.measured, 'rw: 2.50');
  t.is(judgement?.verdict, 'holds-in-single-runs', 'four values of two repeats');
});

test('a run that did not converge refutes what is claimed in favour of its method', (t) => {
  const never: Totals = { ro: three.ro, rw: { precopy: [90, 90, 90], restore: ['cut', 'cut', 'cut'] } };
  const once: Totals = { ro: three.ro, rw: { precopy: [30, 30, 30], restore: [10, 'cut', 10] } };
  const inverse = { kind: 'ratio', column: 'total', of: 'restore', to: 'precopy' } as const;
  const difference = { kind: 'difference', column: 'downtime', of: 'restore', from: 'precopy' } as const;
  const faster = [
    { measure: ratio, holdsIf: { atLeast: 1 } },
    { measure: inverse, holdsIf: { atMost: 1 } },
  ];
  for (const claim of judged(never, ...faster)) {
    t.is(claim.verdict, 'does-not-hold');
    t.regex(claim.measured, /^ro: [\d.]+; `restore` did not converge: rw$/);
    t.deepEqual(claim.cells, { measured: 2, wanted: 2 });
  }
  for (const claim of judged(once, ...faster)) {
    t.is(claim.verdict, 'does-not-hold');
    t.regex(claim.measured, /^ro: [\d.]+; rw: [\d.]+; `restore` did not converge: rw \(1 \/ 3\)$/);
  }
  t.is(judged(never, { measure: difference, holdsIf: { atMost: 1e6 } })[0]?.verdict, 'does-not-hold');
  t.is(judged(never, { measure: inverse, holdsIf: { atLeast: 0.4 } })[0]?.verdict, 'holds');
  const [each, all] = judged(
    once,
    { measure: { kind: 'each-run', column: 'total', engine: 'restore' }, holdsIf: { atMost: 80_000 } },
    { measure: { kind: 'each-run', column: 'total' }, holdsIf: { atMost: 90_000 } },
  );
  t.is(each?.verdict, 'does-not-hold');
  t.is(each?.measured, '10.0 s; `restore` did not converge: rw (1 / 3)');
  t.is(all?.verdict, 'holds-in-single-runs', 'of all methods it favours none');
  t.is(all?.measured, '10.0 s … 90.0 s; `restore` did not converge: rw (1 / 3)');
});

test('of the other method, it took as long as its time limit at the least, and has no downtime', (t) => {
  const totals: Totals = { ro: three.ro, rw: { precopy: ['cut', 'cut', 'cut'], restore: [40, 40, 80] } };
  const [faster, much, downtime] = judged(
    totals,
    { measure: ratio, holdsIf: { atLeast: 2.2 } },
    { measure: ratio, holdsIf: { atLeast: 3 }, scenarios: ['rw'] },
    {
      measure: { kind: 'difference', column: 'downtime', of: 'restore', from: 'precopy' },
      holdsIf: { atMost: 1e6 },
    },
  );
  t.is(faster?.verdict, 'holds');
  t.is(faster?.measured, 'ro: 2.20; rw: 2.50; `precopy` did not converge: rw');
  t.is(much?.verdict, 'does-not-hold', 'nobody knows how much longer it would have taken');
  t.regex(downtime?.measured ?? '', /^ro: [^;]*; `precopy` did not converge: rw$/);
  t.deepEqual(downtime?.cells, { measured: 1, wanted: 2 });
});

test('pairs are of one set', (t) => {
  const { runs } = syntheticSet({ scenarios: ['rw'], paperRowsGib: [4] });
  const seconds = { slow: { precopy: 60, restore: 30 }, quick: { precopy: 20, restore: 10 } };
  const ofBoth = (['slow', 'quick'] as const).flatMap((set) =>
    runs.map((run) => {
      const total = run.row.engine === 'precopy' ? seconds[set].precopy : seconds[set].restore;
      return { ...run, set, row: { ...run.row, total_time_ms: total * 1000 } };
    }),
  );
  const claims = [{ says: 'so', measure: ratio, holdsIf: { atLeast: 2 } }];
  const parts = [{ title: '', mems: recipe.mems, runs: ofBoth, failed: [] }];
  const [judgement] = judgedClaims({ recipe: { ...recipe, claims }, parts });
  t.is(judgement?.measured, 'rw: 2.00');
});

test('a claim may be of some loads, or of every run of an engine', (t) => {
  const [ofRw, each, exact] = judged(
    three,
    { measure: ratio, holdsIf: { atLeast: 2.5 }, scenarios: ['rw'] },
    { measure: { kind: 'each-run', column: 'total', engine: 'precopy' }, holdsIf: { atMost: 80_000 } },
    { measure: { kind: 'each-run', column: 'total', engine: 'restore' }, holdsIf: { is: 10_000 } },
  );
  t.is(ofRw?.verdict, 'holds');
  t.is(each?.measured, '20.0 s … 90.0 s');
  t.is(each?.verdict, 'does-not-hold');
  t.is(exact?.verdict, 'does-not-hold');
});

test('a cell with fewer than three runs is said to be one, and what was not run is missing', (t) => {
  const one: Totals = { ro: { precopy: [20], restore: [10] }, rw: { precopy: [], restore: [10] } };
  const [found, every, none] = judged(
    one,
    { measure: ratio, holdsIf: { atLeast: 2 } },
    { measure: { kind: 'each-run', column: 'total' }, holdsIf: { atLeast: 10_000 } },
    { measure: ratio, holdsIf: { atLeast: 2 }, scenarios: ['rw'] },
  );
  t.is(found?.verdict, 'holds-in-single-runs');
  t.deepEqual(found?.cells, { measured: 1, wanted: 2 });
  t.is(every?.verdict, 'holds-in-single-runs');
  t.deepEqual(every?.cells, { measured: 3, wanted: 4 });
  t.is(none?.verdict, 'missing');
  t.is(none?.measured, '');
});

test('a column that there is none of is refused', (t) => {
  t.throws(() => columnOf('speed'), { instanceOf: RangeError, message: /no column "speed"/ });
});
