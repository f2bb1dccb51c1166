import test from 'ava';
import { CodedError } from '../../../foundation/coded-error.ts';
import { addressAfter } from './standby.ts';

test('a VM on standby has the address after the guest’s', (t) => {
  t.is(addressAfter('10.30.0.10/24'), '10.30.0.11/24');
  t.throws(() => addressAfter('10.30.0.254/24'), {
    instanceOf: CodedError,
    message: /none after 10\.30\.0\.254/,
  });
});
