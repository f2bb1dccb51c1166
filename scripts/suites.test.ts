import { globSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { labSuiteNames, suiteOf } from './suites.ts';

const labTests = globSync('**/*.lab.test.ts', {
  cwd: path.dirname(import.meta.dirname),
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
  t.is(suiteOf('harness/run/migration/libvirt.lab.test.ts'), 'libvirt');
  t.is(suiteOf('harness/run/verify-ram.lab.test.ts'), 'run');
  t.is(suiteOf('harness/run/plan.test.ts'), 'unit');
  t.is(suiteOf('elsewhere/some.lab.test.ts'), undefined);
});
