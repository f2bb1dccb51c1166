import test from 'ava';
import fc from 'fast-check';
import { aimedPlan, aimedRuns } from './aimed.ts';
import {
  diskBytes,
  earlyPlan,
  faultName,
  listedRuns,
  managerOnly,
  momentName,
  type SmallPlan,
  smallPlan,
} from './plan.ts';

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const runs = { numRuns: 500, seed: 1 } as const;

test('a seed gives the same run each time', (t) => {
  fc.assert(
    fc.property(seeds, (seed) => {
      t.deepEqual(smallPlan(seed), smallPlan(seed));
      t.deepEqual(listedRuns(smallPlan(seed)), listedRuns(smallPlan(seed)));
    }),
    runs,
  );
  t.notDeepEqual(smallPlan(1), smallPlan(2));
});

test('a few hundred seeds in a row come to every kind of fault, moment, list and guest', (t) => {
  const plans = Array.from({ length: 600 }, (_, seed) => smallPlan(seed));
  const kinds = (of: (plan: SmallPlan) => string | undefined): string[] =>
    [...new Set(plans.map(of))].filter((kind) => kind !== undefined).sort();
  t.deepEqual(
    kinds(({ fault }) => (fault.kind === 'action' ? fault.action.kind : fault.kind)),
    ['cancel', 'cut', 'drop', 'flip', 'missing-device', 'none', 'pause', 'reset', 'signal', 'slow', 'stop'],
  );
  t.deepEqual(
    kinds(({ fault }) => (fault.kind === 'action' ? fault.moment.when : undefined)),
    ['bytes', 'device-state', 'event', 'time'],
  );
  t.deepEqual(
    kinds(({ list }) => list),
    ['none', 'partly-wrong', 'right', 'stale'],
  );
  t.deepEqual(
    kinds(({ guest }) => guest),
    ['busy', 'quiet', 'writes-listed'],
  );
  t.deepEqual(
    kinds(({ strategy }) => strategy),
    ['balance', 'passthrough', 'restore'],
  );
});

test('every page of a list is named once, and lies in memory and on the disk', (t) => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const plan = smallPlan(seed);
      const listed = listedRuns(plan);
      if (listed === undefined) return;
      const pages = [...listed.right, ...listed.wrong, ...listed.stale].flatMap(({ page, count }) =>
        Array.from({ length: count }, (_, index) => page + index),
      );
      t.is(new Set(pages).size, pages.length);
      t.true(Math.max(...pages) < plan.ramBytes / 4096);
      for (const { block, count } of [...listed.right, ...listed.wrong, ...listed.stale])
        t.true((block + count) * 4096 <= diskBytes);
      if (plan.list === 'right') t.is(listed.wrong.length + listed.stale.length, 0);
    }),
    { ...runs, numRuns: 50 },
  );
});

test('a guest writes within its memory', (t) => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const { program, ramBytes } = smallPlan(seed);
      t.true(program.startBytes >= 2 ** 20 && program.startBytes < program.endBytes);
      t.true(program.endBytes <= ramBytes);
    }),
    runs,
  );
});

test('what stock QEMU cannot make safe either is tried on targets that wait for their manager', (t) => {
  const plans = [
    ...Array.from({ length: 2000 }, (_, seed) => smallPlan(seed)),
    ...Array.from({ length: aimedRuns }, (_, number) => aimedPlan(number)),
  ];
  const unsafe = plans.filter(({ fault }) => fault.kind === 'action' && managerOnly(fault.action));
  t.true(unsafe.length > 0);
  t.deepEqual([...new Set(unsafe.map(({ target }) => target))], ['paused']);
});

test('aimed runs bring each fault to each moment once, but for the runs that lack a device', (t) => {
  const pairs = Array.from({ length: aimedRuns }, (_, number) => aimedPlan(number))
    .filter(({ fault }) => fault.kind === 'action')
    .map((plan) => JSON.stringify(plan.fault));
  t.is(new Set(pairs).size, pairs.length);
  t.true(pairs.length > 0.95 * aimedRuns);
});

test('faults and moments have names', (t) => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const plan = smallPlan(seed);
      t.regex(faultName(plan), /^[\w -]+$/);
      t.is(momentName(plan) === '', plan.fault.kind !== 'action');
    }),
    runs,
  );
});

test('early resumes: every kind of fault and moment, and only what post-copy knows', (t) => {
  const plans = Array.from({ length: 600 }, (_, seed) => earlyPlan(seed));
  const kinds = (of: (plan: SmallPlan) => string | undefined): string[] =>
    [...new Set(plans.map(of))].filter((kind) => kind !== undefined).sort();
  t.deepEqual(
    kinds(({ fault }) => (fault.kind === 'action' ? fault.action.kind : fault.kind)),
    ['cut', 'none', 'pause', 'signal', 'slow', 'stop'],
  );
  t.deepEqual(
    kinds(({ fault }) => (fault.kind === 'action' ? fault.moment.when : undefined)),
    ['bytes', 'event', 'time'],
  );
  t.deepEqual(
    kinds(({ capabilities }) => capabilities),
    ['postcopy-preempt', 'postcopy-ram'],
  );
  for (const plan of plans) {
    t.is(plan.strategy, 'resume');
    t.is(plan.target, 'paused');
    t.not(plan.list, 'none');
    t.deepEqual(earlyPlan(plan.seed), plan);
  }
});
