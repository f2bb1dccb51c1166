import test from 'ava';
import { foldersOfOthers, foldersOfVms } from './run-vms.ts';

test('a run’s VMs lie side by side, and each finds the others', (t) => {
  t.deepEqual(foldersOfVms('/set/rw-8-balance-r1', 1), ['/set/rw-8-balance-r1']);
  t.deepEqual(foldersOfVms('/set/rw-8-balance-r1', 2), ['/set/rw-8-balance-r1', '/set/rw-8-balance-r1-vm1']);
  t.deepEqual(foldersOfOthers('/set/rw-8-balance-r1', 0, 2), ['/set/rw-8-balance-r1-vm1']);
  t.deepEqual(foldersOfOthers('/set/rw-8-balance-r1-vm1', 1, 2), ['/set/rw-8-balance-r1']);
});

test('a folder that was given another name has no others', (t) => {
  t.deepEqual(foldersOfOthers('/elsewhere/mine', 1, 2), []);
});
