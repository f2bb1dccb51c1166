/**
 * How the agent opens what other users of the guest may have put there. It is root, and a path that a user chose may name a
 * FIFO, whose opening never ends, a device, whose opening may act, or a file without end. What a path names can also
 * change between a look at it and its opening.
 */
import { closeSync, constants, fstatSync, openSync, opendirSync, readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { GuestError } from './guest-error.ts';

/** O_PATH of open(2), which Node does not name: a hold on a file, which does not open it. */
export const holdOnly = 0o10_000_000;

/**
 * Opens a regular file for reading; undefined if the path names anything else. The file is held first and looked at, and the
 * very same file is opened then, so that nothing else is ever opened, whoever changes the path meanwhile.
 *
 * @throws a system error such as ENOENT
 */
export async function openRegularFile(path: string): Promise<FileHandle | undefined> {
  const hold = await open(path, holdOnly);
  try {
    if (!(await hold.stat()).isFile()) return undefined;
    return await open(`/proc/self/fd/${hold.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    await hold.close();
  }
}

/**
 * openRegularFile for files by the ten thousand: a call of Node's thread pool takes many times as long as the kernel's. Gives a
 * descriptor.
 *
 * @throws a system error such as ENOENT
 */
export function openRegularFileSync(path: string): number | undefined {
  const hold = openSync(path, holdOnly);
  try {
    if (!fstatSync(hold).isFile()) return undefined;
    return openSync(`/proc/self/fd/${hold}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally {
    closeSync(hold);
  }
}

/** What a file of /proc says of a process can be as long as the process likes: a line for each mapping, mount, socket. */
const maxProcBytes = 16 * 1024 * 1024;

/** Reads a file of /proc. @throws GuestError 'too-large', or a system error */
export function readProc(path: string, maxBytes = maxProcBytes): string {
  const descriptor = openSync(path, 'r');
  try {
    const parts: Buffer[] = [];
    for (let length = 0; ;) {
      const part = Buffer.allocUnsafe(64 * 1024);
      const bytes = readSync(descriptor, part, 0, part.length, null);
      if (bytes === 0) return Buffer.concat(parts).toString('utf8');
      length += bytes;
      if (length > maxBytes) throw new GuestError('too-large', `${path} has more than ${maxBytes} bytes`);
      parts.push(part.subarray(0, bytes));
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Names in a folder. @throws GuestError 'too-large' beyond `max`, or a system error */
export function* entriesOf(
  folder: string,
  max: number,
): Generator<{ readonly name: string; readonly kind: 'file' | 'folder' | 'link' | 'other' }> {
  const opened = opendirSync(folder);
  try {
    let count = 0;
    for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) {
      if (++count > max) throw new GuestError('too-large', `${folder} has more than ${max} entries`);
      const kind = entry.isFile()
        ? 'file'
        : entry.isDirectory()
          ? 'folder'
          : entry.isSymbolicLink()
            ? 'link'
            : 'other';
      yield { name: entry.name, kind };
    }
  } finally {
    opened.closeSync();
  }
}
