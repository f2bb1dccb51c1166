import test from 'ava';
import type { MachineDescription } from '../../qemu/machine-arguments.ts';
import { firstVm } from '../vm/vm-place.ts';
import { withGuest } from './age-guest.ts';

const machine: MachineDescription = {
  ...firstVm.machine,
  accelerator: 'tcg',
  memoryBytes: 2 ** 28,
  processors: 1,
  kernelPath: '/kernel',
  initrdPath: '/initrd',
  guestAddress: '10.30.0.10/24',
  bufferPoolBytes: 2 ** 27,
  disk: { kind: 'file', path: '/disk' },
  role: 'source',
};

test('the server of an aged guest reads through the page cache, whatever else it is started with', (t) => {
  t.deepEqual(withGuest('aged', machine, {}).serverOptions, ['--innodb-flush-method=fsync']);
  const changed = withGuest('aged', machine, { role: 'target', serverOptions: ['--log-bin'] });
  t.deepEqual(changed.serverOptions, ['--innodb-flush-method=fsync', '--log-bin']);
  t.is(changed.role, 'target');
});

test('a fresh guest is as it was described', (t) => {
  t.deepEqual(withGuest(undefined, machine, {}), machine);
});
