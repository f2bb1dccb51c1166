/** Teardown where nobody reads any more what is said of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
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
