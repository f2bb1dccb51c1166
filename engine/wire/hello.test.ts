import test from 'ava';
import { defaultLiveness, ownHello, takeHello } from './hello.ts';
import { encodeMessage, type Hello } from './messages.ts';

const own = ownHello('source', 'orders', defaultLiveness);
const fitting: Hello = { ...own, role: 'destination' };
const take = (other: object): Hello =>
  takeHello(own, Buffer.from(JSON.stringify({ ...fitting, ...other })), defaultLiveness.timeoutMs);

test('an engine that fits is taken, named or not', (t) => {
  t.deepEqual(takeHello(own, encodeMessage(fitting), defaultLiveness.timeoutMs), fitting);
  t.is(take({ vm: undefined }).vm, undefined);
});

for (const [what, other, message] of [
  ['another protocol', { protocol: own.protocol + 1 }, /protocol 2 here, 3 there/],
  ['a second source', { role: 'source' }, /both engines are a source/],
  ['another VM', { vm: 'billing' }, /VM "orders" here, "billing" there/],
  ['other pages', { pageSizeBytes: 65_536 }, /page sizes differ/],
  ['heartbeats too rare to be missed', { heartbeatMs: 5001 }, /heard every 5001 ms only/],
] as const) {
  test(`refused: ${what}`, (t) => {
    t.throws(() => take(other), { code: 'incompatible', message });
  });
}

for (const [what, other] of [
  ['an unknown role', { role: 'witness' }],
  ['no protocol', { protocol: undefined }],
  ['a name without end', { vm: 'x'.repeat(1025) }],
  ['a heartbeat of nothing', { heartbeatMs: 0 }],
] as const) {
  test(`malformed: ${what}`, (t) => {
    t.throws(() => take(other), { code: 'malformed' });
  });
}
