/** Teardown where nobody reads any more what is said of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';

const fixture = path.join(import.meta.dirname, 'run-command.fixture.ts');

test('Ctrl-C that ends the reader of the output, too, takes everything down all the same', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'poolshift-command-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'state');
  const child = spawn(process.execPath, [fixture, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  child.stderr.destroy();
  child.kill('SIGINT');
  t.deepEqual(await ended, [130, null]);
  t.is(await readFile(file, 'utf8'), 'down');
});

test('all that was printed is there for a reader that lags', async (t) => {
  const program = `
    const { runCommand } = await import(process.argv[1]);
    await runCommand('fixture', async () => { console.log('x'.repeat(1_000_000)); return 0; });`;
  const command = path.join(import.meta.dirname, 'run-command.ts');
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await sleep(1000);
  let length = 0;
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) length += chunk.length;
  t.is(length, 1_000_001);
  t.deepEqual(await ended, [0, null]);
});
