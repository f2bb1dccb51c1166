import test from 'ava';
import { defaultLiveness, ownHello, takeHello } from './hello.ts';
import { encodeMessage, type Hello } from './messages.ts';

const own = ownHello('source', 'orders', defaultLiveness);
const fitting = ownHello('destination', 'orders', defaultLiveness);
const take = (other: object, vm: string | undefined = 'orders'): Hello =>
  takeHello(own, vm, Buffer.from(JSON.stringify({ ...fitting, ...other })), defaultLiveness.timeoutMs);

test('an engine that fits is taken, for a VM or none', (t) => {
  t.deepEqual(takeHello(own, 'orders', encodeMessage(fitting), defaultLiveness.timeoutMs), fitting);
  const [a, b] = [
    ownHello('source', undefined, defaultLiveness),
    ownHello('destination', undefined, defaultLiveness),
  ];
  t.deepEqual(takeHello(a, undefined, encodeMessage(b), defaultLiveness.timeoutMs), b);
});

test('no greeting holds the name, nor is the same twice', (t) => {
  const again = ownHello('source', 'orders', defaultLiveness);
  t.not(own.vm?.digest, again.vm?.digest);
  t.false(encodeMessage(own).includes('orders'));
});

test('what a destination has said is no answer to it', (t) => {
  t.throws(() => take({ vm: own.vm }), { code: 'incompatible', message: /another VM/ });
});

for (const [what, other, message] of [
  ['another protocol', { protocol: own.protocol + 1 }, /protocol \d+ here, \d+ there/],
  ['a second source', { role: 'source' }, /both engines are a source/],
  ['another VM', ownHello('destination', 'billing', defaultLiveness), /^the other engine is for another VM$/],
  ['an engine that was not told which VM', { vm: undefined }, /one engine was told which VM/],
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
  ['a digest without end', { vm: { nonce: 'a'.repeat(32), digest: 'a'.repeat(65) } }],
  ['a heartbeat of nothing', { heartbeatMs: 0 }],
] as const) {
  test(`malformed: ${what}`, (t) => {
    t.throws(() => take(other), { code: 'malformed' });
  });
}
