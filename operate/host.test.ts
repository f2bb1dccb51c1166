import { mock } from 'node:test';
import test from 'ava';
import { execa } from 'execa';
import { forwardedPath, OperatedHost, SshConnections } from './host.ts';

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

test('ssh forwards the socket that is meant, whatever its path holds', async (t) => {
  for (const path of [
    '/run/vm:1.qmp',
    '/run/50%C.qmp',
    '/run/${HOME}/$a{b}.qmp',
    '/run/a\\b\\:c.qmp',
    "/run/it's a vm",
  ]) {
    const words = ['-G', '-F', 'none', '-L', `/tmp/here:${forwardedPath(path)}`, 'dst'];
    const { stdout } = await execa('ssh', words, { stdin: 'ignore' });
    t.true(stdout.split('\n').includes(`localforward /tmp/here ${path}`), stdout);
  }
});
