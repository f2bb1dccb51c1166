/** One command at a time writes into a set. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { type FileLock, takeLock } from '../../scripts/lock.ts';

/** Not in the set: what is there is what was recorded. @throws CodedError 'command', 'usage' where another command has it */
export async function holdSet(set: string): Promise<FileLock> {
  const name = createHash('sha256').update(path.resolve(set)).digest('hex').slice(0, 16);
  return takeLock(`/run/lock/poolshift-set-${name}.lock`, (holder) => {
    throw new CodedError(
      'command',
      'usage',
      `--out ${set}: another command (process ${holder}) writes into it; wait for its end, or give another folder`,
    );
  });
}
