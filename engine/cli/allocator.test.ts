import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';

const main = path.join(import.meta.dirname, 'main.ts');

/** The environment that an engine which listens was started with. */
async function environmentOfEngine(changes: Readonly<Record<string, string>>): Promise<string[]> {
  const arguments_ = [
    'destination',
    '--listen',
    '127.0.0.1:0',
    '--incoming',
    'unix:/nowhere',
    '--insecure-plaintext',
    '--json',
  ];
  const engine = spawn(process.execPath, [main, ...arguments_], {
    env: { ...process.env, ...changes },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    for await (const line of createInterface({ input: engine.stdout })) if (line.includes('listening')) break;
    return readFileSync(`/proc/${String(engine.pid)}/environ`, 'utf8').split('\0');
  } finally {
    engine.kill('SIGKILL');
    await once(engine, 'exit');
  }
}

test('an engine that migrates keeps its blocks of memory, as the process that was started', async (t) => {
  const environment = await environmentOfEngine({ OTHER: 'stays' });
  t.true(environment.includes('MALLOC_MMAP_THRESHOLD_=33554432'));
  t.true(environment.includes('MALLOC_TRIM_THRESHOLD_=67108864'));
  t.true(environment.includes('OTHER=stays'));
});

test('who has set the allocator himself has it so', async (t) => {
  const environment = await environmentOfEngine({ MALLOC_TRIM_THRESHOLD_: '1000000' });
  t.deepEqual(
    environment.filter((entry) => entry.startsWith('MALLOC_')),
    ['MALLOC_TRIM_THRESHOLD_=1000000'],
  );
});
