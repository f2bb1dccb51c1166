import { inspect } from 'node:util';
import test from 'ava';
import { CodedError, isCoded } from './coded-error.ts';

test('an error says what failed, how, where and why', (t) => {
  const cause = new Error('no route');
  const error = new CodedError('host', 'unreachable', 'src is gone', { host: 'src', command: 'true', cause });
  t.like(error, { area: 'host', code: 'unreachable', host: 'src', command: 'true', message: 'src is gone' });
  t.is(error.cause, cause);
  t.is(String(error), 'HostError: src is gone');
  t.is(String(new CodedError('guest-image', 'incomplete', 'no kernel')), 'GuestImageError: no kernel');
});

test('areas are told apart where they have a code in common', (t) => {
  const error: unknown = new CodedError('wire', 'timeout', 'nothing was heard');
  t.true(isCoded(error, 'wire'));
  t.true(isCoded(error, 'wire', 'timeout'));
  t.false(isCoded(error, 'wire', 'closed'));
  t.false(isCoded(error, 'qmp', 'timeout'));
  t.false(isCoded(Object.assign(new Error(), { area: 'wire', code: 'timeout' }), 'wire'));
});

test('what is not known of an error is not printed with it', (t) => {
  const printed = inspect(new CodedError('lab', 'not-up', 'there is no lab'));
  t.regex(printed, /^CodedError \[LabError\]: there is no lab\n/);
  t.notRegex(printed, /undefined|cause|targetNeverRuns/);
});
