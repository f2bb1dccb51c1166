import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { CodedError } from '../foundation/coded-error.ts';

/**
 * Writes a file of a record whole or not at all: a crash, a full disk or another command leaves what was there.
 * @param write writes the file of the given name, which then takes the place of `file`
 * @throws CodedError 'record' `not-writable`
 */
export async function writeWhole(file: string, write: (unfinished: string) => Promise<void>): Promise<void> {
  // Its own: of two that write the same file at once, neither takes what the other has half written.
  const unfinished = `${file}.${randomUUID()}.new`;
  try {
    await write(unfinished);
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw new CodedError('record', 'not-writable', `cannot write ${file}`, { cause: error });
  }
}
