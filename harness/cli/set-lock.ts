/** One command at a time writes into a set. */
import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { type FileLock, takeLock } from '../../scripts/lock.ts';

/** One path for a folder, which need not be there, whatever links lead to it. */
function realPathOf(folder: string): string {
  const whole = path.resolve(folder);
  if (existsSync(whole)) return realpathSync(whole);
  return path.join(realPathOf(path.dirname(whole)), path.basename(whole));
}

/** Not in the set: what is there is what was recorded. @throws CodedError 'command', 'usage' where another command has it */
export async function holdSet(set: string): Promise<FileLock> {
  const name = createHash('sha256').update(realPathOf(set)).digest('hex').slice(0, 16);
  return takeLock(`/run/lock/poolshift-set-${name}.lock`, (holder) => {
    throw new CodedError(
      'command',
      'usage',
      `--out ${set}: another command (process ${holder}) writes into it; wait for its end, or give another folder`,
    );
  });
}
