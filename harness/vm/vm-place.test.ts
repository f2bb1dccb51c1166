import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { addressOf, firstVm, hostOf, secondVm } from './vm-place.ts';

test('a second VM has the address after the guest’s', (t) => {
  t.is(addressOf(firstVm, '10.30.0.10/24'), '10.30.0.10/24');
  t.is(addressOf(secondVm, '10.30.0.10/24'), '10.30.0.11/24');
  t.is(hostOf(secondVm, '10.30.0.10/24'), '10.30.0.11');
  t.throws(() => addressOf(secondVm, '10.30.0.254/24'), {
    instanceOf: CodedError,
    message: /none after 10\.30\.0\.254/,
  });
});

test('two VMs of one host share no name, path, address or port', (t) => {
  const leaves = (value: unknown): unknown[] =>
    typeof value === 'object' && value !== null ? Object.values(value).flatMap(leaves) : [value];
  const second = new Set(leaves(secondVm));
  t.deepEqual(
    leaves(firstVm).filter((leaf) => second.has(leaf)),
    [],
  );
});
