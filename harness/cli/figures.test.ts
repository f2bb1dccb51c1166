import test from 'ava';
import { matrixFailed, matrixTable, type TableLine } from './figures.ts';

const done: TableLine = {
  name: 'rw-4-precopy-r1',
  outcome: 'completed',
  row: { total_time_ms: 32_100, downtime_stop_resume_ms: 301.4, ledger_lost: 0 },
};
const reason = 'QEMU on dst does not offer this method: migrate-set-capabilities: Postcopy is not supported';
const skipped: TableLine = { name: 'rw-4-postcopy-r1', outcome: 'skipped', reason, row: undefined };

test('a run that was skipped has its reason in the table, which stays as narrow as it was', (t) => {
  const [title = '', first = '', second = ''] = matrixTable([done, skipped]).split('\n');
  t.regex(first, /^rw-4-precopy-r1 {3}completed +32\.1 s +301 ms/);
  t.is(second, `rw-4-postcopy-r1  skipped    ${reason}`);
  t.is(title.length, first.length);
  t.true(first.length < 140);
});

test('a matrix fails with a run that failed or was not reached, and not with one that was skipped', (t) => {
  t.false(matrixFailed([done, skipped], 2));
  t.false(matrixFailed([{ outcome: 'not-converged' }], 1));
  t.true(matrixFailed([done, { outcome: 'failed' }], 2));
  t.true(matrixFailed([done, skipped], 3));
});
