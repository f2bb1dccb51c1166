import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withoutHolders } from './hang-watch.ts';

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'held-'));
  t.teardown(() => {
    rmSync(made, { recursive: true });
  });
  return made;
}

/** How a process ends that looks at programs of several users, the last of which does something else. */
async function look(where: string, second: string): Promise<unknown[]> {
  const program = `
    import { openSync } from 'node:fs';
    import { endWhenHeld, watched } from ${JSON.stringify(join(import.meta.dirname, 'hang-watch.ts'))};
    endWhenHeld(${JSON.stringify(join(where, 'note'))}, 300);
    await watched(101, async () => undefined);
    await watched(1001, async () => undefined);
    await watched(1000, async () => ${second});
    process.exit(7);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' });
  return once(child, 'exit');
}

test('an agent that is held is ended, with a note of who did it', async (t) => {
  const where = folder(t);
  const note = join(where, 'note');
  const fifo = join(where, 'fifo');
  execFileSync('mkfifo', [fifo]);
  t.deepEqual(await look(where, 'undefined'), [7, null]);
  t.false(existsSync(note));
  // Opening it for reading waits for who writes.
  t.deepEqual(await look(where, `openSync(${JSON.stringify(fifo)}, 'r')`), [null, 'SIGKILL']);
  t.is(readFileSync(note, 'utf8'), '1000\n');
});

test('where a person held an agent, the programs of persons are let be', (t) => {
  const note = join(folder(t), 'note');
  const program = (userId: number) => ({
    pid: userId,
    userId,
    description: `of ${userId}`,
    isReady: () => true,
    writeDirtyPages: async () => undefined,
    findPages: async () => {
      throw new Error('not asked');
    },
  });
  const { userId: _none, ...kernel } = program(1);
  const programs = [kernel, ...[0, 101, 1000, 100_000].map(program)];
  const left = (): readonly string[] =>
    withoutHolders({ programs, failures: [] }, note).programs.map(({ description }) => description);
  t.deepEqual(left(), ['of 1', 'of 0', 'of 101', 'of 1000', 'of 100000']);
  writeFileSync(note, '1001\n');
  t.deepEqual(left(), ['of 1', 'of 0', 'of 101']);
  t.is(withoutHolders({ programs, failures: [] }, note).failures.length, 2);
});
