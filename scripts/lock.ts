/** Locks between processes of one machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../foundation/coded-error.ts';

export interface FileLock {
  release(): Promise<void>;
}

/** `flock` says with it that another process has the lock. */
const heldByAnother = 75;

/**
 * Takes the lock, waiting for its holder if there is one; `onWait` gets the holder's pid, for a message.
 *
 * A `flock` child has it, which ends with us because its input is our pipe: the kernel drops the lock of a dead holder,
 * so there is nothing stale to judge by pid.
 * @throws CodedError 'set-up', 'lock-failed'
 */
export async function takeLock(file: string, onWait: (holder: string) => void): Promise<FileLock> {
  await mkdir(path.dirname(file), { recursive: true });
  let holder = await tryLock(file, ['--nonblock']);
  if (holder === undefined) {
    onWait((await readFile(file, 'utf8')).trim() || 'unknown');
    holder = await tryLock(file, []);
  }
  if (holder === undefined) throw new CodedError('set-up', 'lock-failed', `cannot lock ${file}`);
  await writeFile(file, `${process.pid}\n`);
  const held = holder;
  return {
    release: async () => {
      const exited = once(held, 'exit');
      held.stdin?.end();
      await exited;
    },
  };
}

async function tryLock(file: string, flags: readonly string[]): Promise<ChildProcess | undefined> {
  const child = spawn(
    'flock',
    ['--conflict-exit-code', String(heldByAnother), ...flags, file, 'sh', '-c', 'echo held; exec cat'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Ctrl-C must not drop the lock before its holder has finished.
      detached: true,
    },
  );
  const outcome = await Promise.race([
    once(child.stdout, 'data').then(() => 'held' as const),
    once(child, 'exit').then(([code]) => code as number | null),
  ]).catch((error: unknown) => {
    throw new CodedError('set-up', 'lock-failed', `cannot lock ${file}: ${String(error)}`, { cause: error });
  });
  if (outcome === 'held') return child;
  if (outcome === heldByAnother) return undefined;
  throw new CodedError(
    'set-up',
    'lock-failed',
    `cannot lock ${file}: flock ended with ${outcome ?? 'a signal'}`,
  );
}
