import test from 'ava';
import { abortOnSignals } from './interrupt.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

test('signals are taken for a teardown only while there is something to take down', (t) => {
  const counts = () => signals.map((name) => process.listenerCount(name));
  const before = counts();
  const over = new AbortController();
  const said: string[] = [];
  const signal = abortOnSignals((line) => said.push(line), over.signal);
  t.deepEqual(
    counts(),
    before.map((count) => count + 1),
  );
  over.abort();
  t.deepEqual(counts(), before);
  t.false(signal.aborted);
  t.deepEqual(said, []);
});
