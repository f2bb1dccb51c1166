/** Files of a result folder, which may be stored compressed: `events.jsonl` or `events.jsonl.gz`. */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

/** The text of `file`, or of its compressed copy where that alone is there; undefined if neither is. */
export async function readStored(file: string): Promise<string | undefined> {
  const bytes = await readIfThere(file);
  if (bytes !== undefined) return bytes.toString('utf8');
  const compressed = await readIfThere(`${file}.gz`);
  return compressed && (await promisify(gunzip)(compressed)).toString('utf8');
}

/** Without a look beforehand: another command may take it away in between. */
async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
