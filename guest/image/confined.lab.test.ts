import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { CodedError } from '../../foundation/coded-error.ts';
import { confined } from './confined.ts';

const silent = (): void => undefined;

test('a command gets its words as they are, and sees processes and networks of its own', async (t) => {
  const run = confined({ log: silent });
  const words = ['a b', '$HOME', "it's", 'two\nlines', '*'];
  t.is((await run`printf ${'%s|'} ${words} ${3}`).stdout, "a b|$HOME|it's|two\nlines|*|3|");
  t.is((await run`sh -c ${'echo $$'}`).stdout, '1\n');
  const networkOf = (file: string): string[] =>
    file
      .trim()
      .split('\n')
      .slice(2)
      .map((line) => line.split(':')[0]?.trim() ?? '');
  t.deepEqual(networkOf((await run`cat /proc/net/dev`).stdout), ['lo']);
  const outside = await confined({ log: silent, network: true })`cat /proc/net/dev`;
  t.deepEqual(networkOf(outside.stdout), networkOf(readFileSync('/proc/net/dev', 'utf8')));
});

test('a command that fails is named with its last lines, and what it says is logged', async (t) => {
  const logged: string[] = [];
  const run = confined({ log: (line) => logged.push(line) });
  const error = await t.throwsAsync(run`sh -c ${'echo out; seq 20 >&2; exit 3'}`, {
    instanceOf: CodedError,
    name: 'GuestImageError',
  });
  const lastNumbers = Array.from({ length: 15 }, (_, index) => String(index + 6));
  t.is(error.message, ['sh failed:', ...lastNumbers].join('\n'));
  t.is(error.code, 'command-failed');
  t.is(logged.length, 20);
});

test('a command dies with the process that has started it', async (t) => {
  const program = `
    import { confined } from ${JSON.stringify(path.join(import.meta.dirname, 'confined.ts'))};
    await confined({ log: console.log })\`sh -c \${'sleep 600 & echo up >&2; wait'}\`;`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const unshare = childrenOf(child.pid ?? 0);
  t.is(unshare.length, 1);
  const shell = childrenOf(unshare[0] ?? 0);
  const all = [...unshare, ...shell, ...shell.flatMap(childrenOf)];
  t.true(all.length === 3, String(all));
  child.kill('SIGKILL');
  await once(child, 'exit');
  // They have their signals, and end at once or never.
  while (all.some(isAlive)) await sleep(20);
  t.pass();
});

function childrenOf(processId: number): number[] {
  return readFileSync(`/proc/${processId}/task/${processId}/children`, 'utf8')
    .split(' ')
    .filter((word) => word !== '')
    .map(Number);
}

/** A process that nobody has waited for yet has ended, too. */
function isAlive(processId: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${processId}/status`, 'utf8'));
  } catch {
    return false;
  }
}
