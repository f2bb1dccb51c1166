import test from 'ava';
import { randomHashKey } from '../list/content-hash.ts';
import { decodeMessage, encodeMessage, messageSchemas } from './messages.ts';

test('sources bring the key of the hashes, whole, or are refused', (t) => {
  const hashKey = randomHashKey().toString('hex');
  const sources = { sources: [{ kind: 'disk', disk: 'vda' }], hashKey } as const;
  t.deepEqual(decodeMessage(messageSchemas.sources, encodeMessage(sources)), sources);
  for (const other of [
    undefined,
    '',
    hashKey.slice(2),
    `${hashKey}00`,
    hashKey.replace(/^../, 'zz'),
    `${hashKey}\n`,
  ]) {
    const payload = Buffer.from(JSON.stringify({ ...sources, hashKey: other }));
    t.throws(() => decodeMessage(messageSchemas.sources, payload), { code: 'malformed' }, String(other));
  }
});

test('a load is two shares, or is refused', (t) => {
  const load = { busyShare: 0.5, idleShare: 1 };
  t.deepEqual(decodeMessage(messageSchemas.load, encodeMessage(load)), load);
  for (const other of [{ busyShare: 2 }, { idleShare: -0.1 }, { busyShare: null }, { idleShare: '1' }]) {
    const payload = Buffer.from(JSON.stringify({ ...load, ...other }));
    t.throws(() => decodeMessage(messageSchemas.load, payload), { code: 'malformed' }, JSON.stringify(other));
  }
});
