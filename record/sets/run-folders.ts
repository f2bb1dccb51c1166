/** Where runs lie in a set. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { runFiles } from '../read-run.ts';

export const isRunFolder = (folder: string): boolean => existsSync(path.join(folder, runFiles.manifest));

/** Whether it is of an attempt that failed, and that a matrix has set aside to make it again (`*.failed-1`). */
export const isSetAside = (folder: string): boolean => /\.failed-\d+$/.test(path.basename(folder));

/**
 * Folders of the runs in a set, which may have none, by name and absolute; attempts that a matrix has set aside are passed
 * over, unless they are asked for.
 * @throws CodedError 'record' `not-readable`
 */
export async function runFoldersOf(
  set: string,
  { setAsideToo = false }: { readonly setAsideToo?: boolean } = {},
): Promise<string[]> {
  const entries = await readdir(set, { withFileTypes: true }).catch((error: unknown) => {
    throw new CodedError('record', 'not-readable', `cannot read the folder ${set}`, { cause: error });
  });
  return entries
    .filter((entry) => entry.isDirectory() && (setAsideToo || !isSetAside(entry.name)))
    .map((entry) => path.resolve(set, entry.name))
    .filter(isRunFolder)
    .sort();
}
