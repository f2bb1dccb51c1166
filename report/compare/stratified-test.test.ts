import test from 'ava';
import { normal, seededRandom } from '../statistics/seeded-random.ts';
import { bootstrapInterval, cliffsDelta, holm, permutationTest, relativeChange } from './stratified-test.ts';

test('a permutation test counts every relabelling', (t) => {
  // Of the 6 ways to choose two of four values, the given one and its mirror image change most.
  const cells = [{ base: [1, 2], next: [3, 4] }];
  t.deepEqual(permutationTest(cells, seededRandom(1)), { p: 2 / 6, minP: 2 / 6 });
});

test('pairs without repeats are a sign-flip test', (t) => {
  const cells = Array.from({ length: 6 }, (_, index) => ({ base: [10 + index], next: [12 + index] }));
  t.deepEqual(permutationTest(cells, seededRandom(1)), { p: 2 / 64, minP: 2 / 64 });
});

test('p is at most the level as often as the level says', (t) => {
  const random = seededRandom(7);
  const tests = 400;
  const draw = (mean: number) => Array.from({ length: 3 }, () => mean * (1 + 0.1 * normal(random)));
  let significant = 0;
  for (let index = 0; index < tests; index += 1) {
    const cells = [100, 1000].map((mean) => ({ base: draw(mean), next: draw(mean) }));
    if (permutationTest(cells, random).p <= 0.05) significant += 1;
  }
  t.true(significant >= 8 && significant <= 33, `${significant} of ${tests}`);
});

test('random relabelling agrees with all relabellings', (t) => {
  const random = seededRandom(3);
  const draw = (mean: number) => Array.from({ length: 2 }, () => mean + normal(random));
  // 6^5 ways are counted; with a sixth cell without any change there are too many, and p must stay about the same.
  const cells = Array.from({ length: 5 }, () => ({ base: draw(20), next: draw(20.5) }));
  const counted = permutationTest(cells, random).p;
  const drawn = permutationTest([...cells, { base: [1, 1], next: [1, 1] }], random).p;
  t.true(Math.abs(counted - drawn) < 0.03, `${counted} and ${drawn}`);
});

test('the change weighs cells alike and takes a base of zero', (t) => {
  t.true(Math.abs(relativeChange([{ base: [100], next: [110] }]) - 0.1) < 1e-9);
  const cells = [
    { base: [10], next: [12] },
    { base: [1000], next: [1200] },
  ];
  t.true(Math.abs(relativeChange(cells) - 0.2) < 1e-9);
  t.is(relativeChange([{ base: [0], next: [0] }]), 0);
  t.is(relativeChange([{ base: [0], next: [5] }]), Infinity);
});

test('the interval covers the true change about as often as it says', (t) => {
  const random = seededRandom(11);
  const draw = (mean: number) => Array.from({ length: 8 }, () => mean * (1 + 0.05 * normal(random)));
  let covered = 0;
  for (let index = 0; index < 60; index += 1) {
    const cells = [50, 500].map((mean) => ({ base: draw(mean), next: draw(1.1 * mean) }));
    const [low, high] = bootstrapInterval(cells, random) ?? [0, 0];
    if (low <= 0.1 && high >= 0.1) covered += 1;
  }
  t.true(covered >= 50, `${covered} of 60`);
  t.is(bootstrapInterval([{ base: [1], next: [2] }], random), undefined);
});

test("Cliff's delta is 1 where every new value is above, 0 where none moved", (t) => {
  t.is(cliffsDelta([{ base: [1, 2], next: [3, 4] }]), 1);
  t.is(cliffsDelta([{ base: [1, 2], next: [1, 2] }]), 0);
});

test('Holm’s correction', (t) => {
  t.deepEqual(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
});
