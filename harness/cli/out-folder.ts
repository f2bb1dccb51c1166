/** Where a command is to record, looked at before anything starts. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';

/** @param folder that is to be made, or is there. @throws CodedError 'command', 'usage' */
export function checkOut(folder: string): void {
  let there = path.resolve(folder);
  while (!existsSync(there)) there = path.dirname(there);
  const refuse = (why: string): never => {
    throw new CodedError('command', 'usage', `--out ${folder}: ${there} ${why}`);
  };
  if (!statSync(there).isDirectory()) refuse('is no folder');
  try {
    accessSync(there, constants.W_OK);
  } catch {
    refuse('cannot be written to');
  }
}
