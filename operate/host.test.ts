import { mock } from 'node:test';
import test from 'ava';
import { OperatedHost, SshConnections } from './host.ts';

test.serial('a host that is slow to answer is named, and one that answers is not', async (t) => {
  const notes: string[] = [];
  const connections = SshConnections.open({ note: (text) => notes.push(text) });
  const host = new OperatedHost(undefined, connections);
  t.teardown(() => connections.close([]));
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const slow = host.run('read -r line; echo $line', { input: 'done\n', timeoutMs: 60_000 });
    mock.timers.tick(10_000);
    t.is(await slow, 'done');
    t.deepEqual(notes, [`waiting for ${host.name}: 10 s of at most 60`]);
    await host.run('true');
    mock.timers.tick(60_000);
    t.is(notes.length, 1);
  } finally {
    mock.timers.reset();
  }
});
