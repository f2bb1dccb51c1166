import test from 'ava';
import type { RunSet } from '../record/read-set.ts';
import { syntheticSet, type SyntheticOptions } from '../testing/synthetic-set.ts';
import { compareSets, type Selection } from './compare.ts';
import { remarkLines, summaryLine } from './comparison-text.ts';

const cells: SyntheticOptions = {
  scenarios: ['idle', 'ro', 'rw'],
  paperRowsGib: [8],
  engines: ['restore'],
  repeats: 3,
};
const kindOf = (base: SyntheticOptions, next: SyntheticOptions, metric: string): string | undefined =>
  compareSets(syntheticSet({ ...cells, ...base }), syntheticSet({ ...cells, ...next })).findings.find(
    (finding) => finding.metric === metric,
  )?.kind;

test('repeats of one build raise no alarm', (t) => {
  const pairs = 40;
  let alarms = 0;
  for (let pair = 0; pair < pairs; pair += 1) {
    // As noisy as the machine that the lab was made on: changes of the mean exceed 5 % by chance.
    const { findings } = compareSets(
      syntheticSet({ ...cells, noise: 0.12, seed: 2 * pair + 1 }),
      syntheticSet({ ...cells, noise: 0.12, seed: 2 * pair + 2 }),
    );
    if (findings.some(({ kind }) => kind === 'regression')) alarms += 1;
  }
  t.true(alarms <= 4, `${alarms} of ${pairs}`);
});

test('two VMs that were moved at once are no two repeats', (t) => {
  const withSecond = ({ runs }: ReturnType<typeof syntheticSet>) => ({
    runs: runs.flatMap((run) => [
      { ...run, row: { ...run.row, vms: 2, vm: 0 } },
      { ...run, row: { ...run.row, vms: 2, vm: 1, total_time_ms: 1 } },
    ]),
  });
  const [base, next] = [1, 2].map((seed) => syntheticSet({ ...cells, noise: 0.1, seed }));
  if (base === undefined || next === undefined) throw new RangeError('no set');
  t.deepEqual(compareSets(withSecond(base), withSecond(next)).findings, compareSets(base, next).findings);
});

test('a slow-down of 10 % is found', (t) => {
  const pairs = 20;
  let found = 0;
  for (let pair = 0; pair < pairs; pair += 1) {
    const base = { noise: 0.03, seed: 2 * pair + 1 };
    const next = { noise: 0.03, seed: 2 * pair + 2, slower: { restore: 1.1 } };
    if (kindOf(base, next, 'total time') === 'regression') found += 1;
  }
  t.true(found >= 18, `${found} of ${pairs}`);
});

test('what became faster is an improvement, and what did not change is neither', (t) => {
  t.is(kindOf({ seed: 1 }, { seed: 2, slower: { restore: 0.8 } }, 'total time'), 'improvement');
  t.is(kindOf({ seed: 1 }, { seed: 2, slower: { restore: 0.8 } }, 'downtime'), 'no-change');
});

test('a change below the minimum is no regression, however certain', (t) => {
  t.is(
    kindOf({ noise: 0.001 }, { noise: 0.001, seed: 2, slower: { restore: 1.03 } }, 'total time'),
    'no-change',
  );
});

for (const repeats of [1, 3]) {
  test(`a set against itself has no regression, with ${repeats} of each cell`, (t) => {
    const one = syntheticSet({ ...cells, repeats });
    const { verdict, findings } = compareSets(one, one);
    t.is(verdict, 'no-regression');
    t.true(findings.length > 0);
    for (const { kind, metric } of findings) t.is(kind, 'no-change', metric);
  });
}

test('enough repeats of one build are never too few to tell, whatever chance gave them', (t) => {
  for (let pair = 0; pair < 20; pair += 1) {
    const { verdict } = compareSets(
      syntheticSet({ ...cells, noise: 0.12, seed: 2 * pair + 1001 }),
      syntheticSet({ ...cells, noise: 0.12, seed: 2 * pair + 1002 }),
    );
    t.not(verdict, 'too-few-samples');
  }
});

test('three runs of one cell, half as long again: it says how many would tell, and so many do', (t) => {
  const compared = (repeats: number) =>
    compareSets(
      syntheticSet({ ...cells, scenarios: ['rw'], repeats, seed: 1 }),
      syntheticSet({ ...cells, scenarios: ['rw'], repeats, seed: 2, slower: { restore: 1.5 } }),
    );
  const { verdict, findings } = compared(3);
  t.is(verdict, 'too-few-samples');
  const needed = findings.find(({ metric }) => metric === 'total time')?.repeatsNeeded ?? 0;
  t.true(needed > 3 && needed < 10, String(needed));
  t.is(compared(needed).verdict, 'regression');
  t.is(compared(needed - 1).verdict, 'too-few-samples');
});

test('fewer tests need fewer repeats: metrics and engines can be chosen', (t) => {
  const compared = (selection: Selection) =>
    compareSets(
      syntheticSet({ ...cells, engines: ['precopy', 'restore'], repeats: 2 }),
      syntheticSet({
        ...cells,
        engines: ['precopy', 'restore'],
        repeats: 2,
        seed: 2,
        slower: { restore: 1.5 },
      }),
      selection,
    );
  t.is(compared({}).verdict, 'too-few-samples');
  const chosen = compared({ metrics: ['total time'], engines: ['restore'] });
  t.is(chosen.verdict, 'regression');
  t.deepEqual(
    chosen.findings.map(({ engine, metric }) => [engine, metric]),
    [['restore', 'total time']],
  );
});

test('a single pair of runs cannot tell', (t) => {
  const one: SyntheticOptions = { scenarios: ['rw'], repeats: 1 };
  const { findings } = compareSets(
    syntheticSet({ ...cells, ...one }),
    syntheticSet({ ...cells, ...one, seed: 2, slower: { restore: 2 } }),
  );
  t.true(findings.length > 0);
  t.true(
    findings.every(({ kind, base: before, next: after }) => before === after || kind === 'too-few-samples'),
  );
});

test('a build that no longer converges is a regression, though it has no times', (t) => {
  const options: SyntheticOptions = { ...cells, repeats: 4 };
  const next = syntheticSet({ ...options, seed: 2 });
  const broken = next.runs.map((run) => ({
    ...run,
    row: { ...run.row, outcome: 'not-converged' as const, total_time_ms: undefined },
  }));
  const { findings } = compareSets(syntheticSet(options), { runs: broken });
  t.is(findings.find(({ metric }) => metric === 'unfinished')?.kind, 'regression');
  t.is(
    findings.find(({ metric }) => metric === 'total time'),
    undefined,
  );
});

test('a build whose throughput does not come back is a regression, though it has no time until it does', (t) => {
  const options: SyntheticOptions = { ...cells, scenarios: ['ro', 'rw'], repeats: 5 };
  const notBack = (seed: number, isNotBack: (repeat: number) => boolean) => ({
    runs: syntheticSet({ ...options, seed }).runs.map((run) =>
      isNotBack(run.row.repeat) ? { ...run, row: { ...run.row, tps_recovery_ms: undefined } } : run,
    ),
  });
  const selection = { metrics: ['throughput not back', 'TPS recovery'] };
  const finding = (next: Pick<RunSet, 'runs'>, metric: string) =>
    compareSets(syntheticSet(options), next, selection).findings.find((one) => one.metric === metric);
  const all = notBack(2, () => true);
  t.like(finding(all, 'throughput not back'), { kind: 'regression', base: 0, next: 1 });
  t.is(finding(all, 'TPS recovery'), undefined);
  t.is(
    finding(
      notBack(2, (repeat) => repeat < 5),
      'throughput not back',
    )?.kind,
    'regression',
  );
  t.is(
    finding(
      notBack(2, () => false),
      'throughput not back',
    )?.kind,
    'no-change',
  );

  const notMeasurable = all.runs.map((run) => ({
    ...run,
    row: { ...run.row, tps_recovery_measurable: false },
  }));
  t.is(finding({ runs: notMeasurable }, 'throughput not back'), undefined);
});

test('a build that lost whole cells is not told to be no worse, unless they may be missing', (t) => {
  const base = syntheticSet({ ...cells, paperRowsGib: [8, 16] });
  const next = { runs: base.runs.filter(({ row }) => row.paper_row_gib === 8) };
  t.is(compareSets(base, next).verdict, 'too-few-samples');
  t.is(compareSets(base, next, { allowMissing: true }).verdict, 'no-regression');
  t.is(compareSets(next, base).verdict, 'no-regression');
});

test('damage that base does not have is a regression, however few runs have it', (t) => {
  const base = syntheticSet({ ...cells, engines: ['precopy', 'restore'] });
  for (const [damage, said] of [
    [{ ledger_lost: 3, outcome: 'failed' }, '3 commits lost'],
    [{ ram_pages_differing: 7 }, '7 pages differ'],
    [{ tables_ok: false }, 'tables not in order'],
  ] as const) {
    const next = {
      runs: base.runs.map((run) =>
        run.name === 'rw-8-restore-r1' ? { ...run, row: { ...run.row, ...damage } } : run,
      ),
    };
    const comparison = compareSets(base, next);
    t.is(comparison.verdict, 'regression', said);
    t.deepEqual(comparison.damaged, { base: [], next: [`rw-8-restore-r1: ${said}`] });
    t.regex(summaryLine(comparison), /REGRESSION: .*; 1 run with damage in new$/);
    t.true(remarkLines(comparison).includes(`damage in new: rw-8-restore-r1: ${said}`));
    t.is(compareSets(next, next).verdict, 'no-regression', 'a set against itself');
    t.is(compareSets(base, next, { engines: ['precopy'] }).verdict, 'no-regression', 'another method');
  }
});

test('CPU time of an engine that was not measured is not none', (t) => {
  const set = syntheticSet(cells);
  const part = {
    runs: set.runs.map((run) => ({ ...run, row: { ...run.row, engine_cpu_ms_dst: undefined } })),
  };
  const selection = { metrics: ['CPU per GiB'] };
  t.is(compareSets(set, set, selection).findings.length, 1);
  t.deepEqual(compareSets(set, part, selection).findings, []);
});

test('damage of one method in base excuses none of another', (t) => {
  const set = syntheticSet({ ...cells, engines: ['precopy', 'restore'] });
  const lostBy = (name: string) => ({
    runs: set.runs.map((run) => (run.name === name ? { ...run, row: { ...run.row, ledger_lost: 1 } } : run)),
  });
  const { verdict, damaged } = compareSets(lostBy('rw-8-precopy-r1'), lostBy('rw-8-restore-r1'));
  t.is(verdict, 'regression');
  t.deepEqual(damaged, {
    base: ['rw-8-precopy-r1: 1 commit lost'],
    next: ['rw-8-restore-r1: 1 commit lost'],
  });
});

test('cells that one set has alone are named, and not compared', (t) => {
  const { unpaired, findings } = compareSets(
    syntheticSet({ ...cells, paperRowsGib: [8, 16] }),
    syntheticSet({ ...cells, paperRowsGib: [8] }),
  );
  t.deepEqual(unpaired, {
    base: ['idle 16 GiB restore', 'ro 16 GiB restore', 'rw 16 GiB restore'],
    next: [],
  });
  t.is(findings.find(({ metric }) => metric === 'total time')?.cells, 3);
});
