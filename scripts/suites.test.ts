import { globSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { labSuiteNames, suiteOf } from './suites.ts';

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

test('of two paths that fit, the longer one says the suite', (t) => {
  t.is(suiteOf('harness/run/migration/libvirt.lab.test.ts'), 'libvirt');
  t.is(suiteOf('harness/run/runs-of-one-lab.lab.test.ts'), 'run');
  t.is(suiteOf('harness/run/plan.test.ts'), 'unit');
  t.is(suiteOf('elsewhere/some.lab.test.ts'), undefined);
});
