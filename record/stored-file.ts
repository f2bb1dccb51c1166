/** Files of a result folder, which may be stored compressed: `events.jsonl` or `events.jsonl.gz`. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

/** The text of `file`, or of its compressed copy where that alone is there; undefined if neither is. */
export async function readStored(file: string): Promise<string | undefined> {
  if (existsSync(file)) return await readFile(file, 'utf8');
  if (!existsSync(`${file}.gz`)) return undefined;
  return (await promisify(gunzip)(await readFile(`${file}.gz`))).toString('utf8');
}
