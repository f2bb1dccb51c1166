import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { labOf, labSuiteNames, lanesOf, suiteNames, suiteOf } from './suites.ts';

const root = path.dirname(import.meta.dirname);
const labTests = globSync('**/*.lab.test.ts', {
  cwd: root,
  exclude: ['node_modules'],
});

test('every lab test is in a suite, and every lab suite has one', (t) => {
  t.deepEqual(
    labTests.filter((file) => suiteOf(file) === undefined),
    [],
  );
  t.deepEqual([...new Set(labTests.map(suiteOf))].sort(), [...labSuiteNames].sort());
});

test('a suite of its own comes before that of the folder above', (t) => {
  t.is(suiteOf('harness/run/migration/libvirt.lab.test.ts'), 'migration');
  t.is(suiteOf('harness/run/runs-of-one-lab.lab.test.ts'), 'run');
  t.is(suiteOf('harness/run/plan.test.ts'), 'unit');
  t.is(suiteOf('elsewhere/some.lab.test.ts'), undefined);
});

test('every lab suite is in one lane, and what was not asked for is in none', (t) => {
  t.deepEqual(lanesOf(suiteNames).flat().sort(), [...labSuiteNames].sort());
  t.deepEqual(lanesOf(['unit', 'page', 'run', 'lab']), [['lab', 'run'], [], ['page']]);
});

test('what brings a lab up is in a lane with a lab, and lanes have different ones', (t) => {
  const lab =
    /\b(startLocalTestbed|attachLocalTestbed|prepareGuestLab|startLab|waitForRoom|RunsLab|dbForm)\b/;
  const lanes = lanesOf(suiteNames).map((suites) => ({
    labs: [...new Set(suites.map(labOf))],
    bringsLabUp: labTests.some(
      (file) =>
        suites.some((suite) => suite === suiteOf(file)) &&
        lab.test(readFileSync(path.join(root, file), 'utf8')),
    ),
  }));
  t.deepEqual(lanes, [
    { labs: [''], bringsLabUp: true },
    { labs: ['2'], bringsLabUp: true },
    { labs: [''], bringsLabUp: false },
  ]);
});
