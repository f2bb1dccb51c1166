/** `--metrics FILE`: what node_exporter reads. */
import { constants } from 'node:fs';
import { access, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../foundation/coded-error.ts';

const isFolder = (place: string): Promise<boolean> =>
  stat(place).then(
    (found) => found.isDirectory(),
    () => false,
  );

const isWritable = (place: string): Promise<boolean> =>
  access(place, constants.W_OK).then(
    () => true,
    () => false,
  );

/** Before anything starts. @throws CodedError 'command', 'usage' */
export async function checkMetricsPlace(file: string): Promise<void> {
  const folder = path.dirname(path.resolve(file));
  if (!(await isFolder(folder)) || !(await isWritable(folder)))
    throw new CodedError(
      'command',
      'usage',
      `--metrics ${file}: ${folder} is no folder that can be written to`,
    );
  if (await isFolder(file))
    throw new CodedError('command', 'usage', `--metrics ${file}: is a folder; name a file in it`);
}

/** Whole or not at all: it is read at any moment. @throws Error of the file system */
export async function writeMetrics(file: string, text: string): Promise<void> {
  const unfinished = `${file}.new`;
  try {
    await writeFile(unfinished, text);
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw error;
  }
}
