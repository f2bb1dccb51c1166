import test from 'ava';
import fc from 'fast-check';
import { type DbPlan, dbPlan } from './db-plan.ts';
import { faultName, momentName } from './plan.ts';

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const runs = { numRuns: 500, seed: 1 } as const;

test('a seed gives the same run each time', (t) => {
  fc.assert(
    fc.property(seeds, (seed) => {
      t.deepEqual(dbPlan(seed), dbPlan(seed));
    }),
    runs,
  );
  t.notDeepEqual(dbPlan(1), dbPlan(2));
});

test('a few hundred seeds in a row come to every kind of fault, moment and setting', (t) => {
  const plans = Array.from({ length: 400 }, (_, seed) => dbPlan(seed));
  const kinds = (of: (plan: DbPlan) => string | undefined): string[] =>
    [...new Set(plans.map(of))].filter((kind) => kind !== undefined).sort();
  t.deepEqual(kinds(faultName), [
    ...['SIGINT destination-engine', 'SIGINT source-engine'],
    ...['SIGKILL destination-engine', 'SIGKILL source-engine', 'SIGKILL source-qemu', 'SIGKILL target-qemu'],
    ...['SIGSTOP destination-engine', 'SIGSTOP source-engine', 'SIGSTOP source-qemu', 'SIGSTOP target-qemu'],
    ...['SIGTERM destination-engine', 'SIGTERM source-engine'],
    ...[
      'migrate_cancel',
      'missing-device',
      'none',
      'pause link',
      'pause storage',
      'slow link',
      'slow storage',
    ],
  ]);
  t.deepEqual(
    kinds(({ fault }) => (fault.kind === 'action' ? fault.moment.when : undefined)),
    ['event', 'time'],
  );
  t.deepEqual(
    kinds(({ capabilities }) => capabilities),
    ['none', 'return-path', 'switchover-ack'],
  );
  t.deepEqual(
    kinds(({ strategy }) => strategy),
    ['balance', 'passthrough', 'restore'],
  );
});

test('faults and moments are only such as the lab knows', (t) => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const plan = dbPlan(seed);
      if (plan.fault.kind !== 'action') return;
      const { action, moment } = plan.fault;
      t.true(momentName(plan) !== '');
      // What needs a proxy is left to the small form.
      t.false('place' in moment);
      if ('place' in action) t.true(['pause', 'slow'].includes(action.kind));
      if ('process' in action) t.not(action.process, 'storage');
    }),
    runs,
  );
});
