/**
 * The gate on repeats that were measured: figures of one build, with the noise of a real machine, on which no finding is
 * right but that more runs are needed.
 */
import test from 'ava';
import { drawnSet, recordedSet, slowedDown, splitsOf, type Figures } from '../testing/recorded-set.ts';
import { seededRandom } from '../statistics/seeded-random.ts';
import { compareSets, significanceLevel } from './compare.ts';
import { repeatsNeeded } from './repeats-needed.ts';
import { metrics } from './metrics.ts';
import { permutationTest, type PairedCell } from './stratified-test.ts';

/** Five repeats of one cell with each of two engines. */
const pairs = await recordedSet('reference-2026-11-25-pairs');
/** Three repeats of three cells with each of three engines. */
const engines = await recordedSet('reference-2026-11-26-engines');
const ofEngine = ({ runs }: Figures, engine: string): Figures => ({
  runs: runs.filter(({ row }) => row.engine === engine),
});

// Exchanging the builds changes no verdict: 3 + 2 is 2 + 3.
for (const { name, set, baseRepeats, count } of [
  { name: 'pairs', set: pairs, baseRepeats: [1, 2], count: 15 },
  { name: 'engines', set: engines, baseRepeats: [1], count: 27 },
]) {
  const splits = baseRepeats.flatMap((repeats) => splitsOf(set, repeats));

  test(`${name}: repeats of one build, dealt out in every way, give no finding, and with so few it says so`, (t) => {
    t.is(splits.length, count);
    for (const { base, next } of splits) {
      const { findings } = compareSets(base, next);
      t.true(findings.length > 0);
      // What has the same value in all of them (each ran to its end, and came back) did not change.
      const same = ['unfinished', 'throughput not back'];
      for (const { kind, engine, metric } of findings)
        t.is(kind, same.includes(metric) ? 'no-change' : 'too-few-samples', `${engine} ${metric}`);
    }
  });

  test(`${name}: a change that matters little asks for no more repeats than any change needs`, (t) => {
    for (const { base, next } of splits) {
      const { findings } = compareSets(base, next);
      for (const { matters, kind, metric, repeatsNeeded: needed = 0 } of findings)
        if (kind === 'too-few-samples' && !matters) t.true(needed > 0 && needed <= 6, `${metric}: ${needed}`);
    }
  });

  test(`${name}: no metric has a p of at most a level in more of the ways than the level says`, (t) => {
    for (const engine of new Set(set.runs.map(({ row }) => row.engine))) {
      for (const metric of metrics) {
        const values = ({ runs }: Figures, cell: string): number[] =>
          runs
            .filter(({ row }) => row.engine === engine && row.scenario === cell)
            .flatMap(({ row }) => metric.value(row) ?? []);
        const cells = [...new Set(set.runs.map(({ row }) => row.scenario))];
        // A repeat without the figure makes ways that are not of these sizes.
        const complete = cells.filter(
          (cell) =>
            values(set, cell).length ===
            set.runs.filter(({ row }) => row.engine === engine && row.scenario === cell).length,
        );
        if (complete.length === 0) continue;
        for (const repeats of baseRepeats) {
          const ps = splitsOf(set, repeats).map(({ base, next }) => {
            const paired = complete.map((cell): PairedCell => ({
              base: values(base, cell),
              next: values(next, cell),
            }));
            return permutationTest(paired, seededRandom(1)).p;
          });
          for (const level of [0.05, 0.1, 0.2, 0.5]) {
            const share = ps.filter((p) => p <= level).length / ps.length;
            t.true(share <= level, `${engine} ${metric.name}: ${share} at ${level}`);
          }
        }
      }
    }
  });
}

/** Comparisons of sets drawn from one build's repeats, as they are, or with total times of the second multiplied. */
function findingsOf(set: Figures, repeats: number, comparisons: number, factor: number) {
  return Array.from({ length: comparisons }, (_, index) => {
    const random = seededRandom(1000 * repeats + index);
    const base = drawnSet(set, repeats, random);
    const next = slowedDown(drawnSet(set, repeats, random), factor);
    return compareSets(base, next).findings;
  });
}

const found = (findings: ReturnType<typeof findingsOf>, engine: string): number =>
  findings.filter((ofOne) =>
    ofOne.some(
      (finding) =>
        finding.engine === engine && finding.metric === 'total time' && finding.kind === 'regression',
    ),
  ).length;

test('as many repeats as can tell, drawn from one build, raise alarms no more often than the level', (t) => {
  const drawn = [...findingsOf(pairs, 6, 15, 1), ...findingsOf(engines, 3, 5, 1)];
  const alarms = drawn.filter((findings) =>
    findings.some(({ kind }) => kind === 'regression' || kind === 'improvement'),
  ).length;
  t.true(alarms <= significanceLevel * drawn.length, `${alarms} of ${drawn.length}`);
});

test('10 % more total time: three cells of three engines need three repeats', (t) => {
  const names = ['precopy', 'multifd-zstd', 'balance'];
  const [two, three] = [2, 3].map((repeats) => findingsOf(engines, repeats, 5, 1.1));
  for (const engine of names) {
    t.is(found(two ?? [], engine), 0, `${engine}: two`);
    t.is(found(three ?? [], engine), 5, `${engine}: three`);
  }
});

test('10 % more total time: one cell of precopy needs five repeats, the same of restore, which varies more, fourteen', (t) => {
  const comparisons = 10;
  const findings = (engine: string, repeats: number): number =>
    found(findingsOf(ofEngine(pairs, engine), repeats, comparisons, 1.1), engine);
  t.is(findings('precopy', 4), 0);
  t.is(findings('precopy', 5), comparisons);
  t.true(findings('restore', 5) < 0.9 * comparisons);
  t.true(findings('restore', 14) >= 0.9 * comparisons);
});

test('how many repeats are needed is foretold from five of them within a factor of two', (t) => {
  for (const { engine, needed } of [
    { engine: 'precopy', needed: 5 },
    { engine: 'restore', needed: 14 },
  ]) {
    const values = ofEngine(pairs, engine).runs.flatMap(({ row }) => row.total_time_ms ?? []);
    const cell: PairedCell = { base: values, next: values.map((value) => 1.1 * value) };
    const foretold = repeatsNeeded([cell], significanceLevel / metrics.length);
    t.true(foretold >= needed / 2 && foretold <= 2 * needed, `${engine}: ${foretold}`);
  }
});
