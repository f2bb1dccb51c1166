/**
 * Which product and version a server's program is, from the bytes of its file: the program is anybody's who names a process
 * mysqld, so that it is never run. `/proc/PID/exe` is the very file that was started, and always a regular one.
 */
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { openRegularFile } from '../safe-files.ts';
import { systemErrorCode } from '../guest-error.ts';

export interface ServerProgram {
  readonly product: 'mariadb' | 'mysql';
  /** "10.11.19-MariaDB", "9.7", or "unknown" when the file does not tell. */
  readonly version: string;
  /** Which compiled program it is: the file, and in hexadecimal the build id in it, which anybody can write into a file of his. */
  readonly build: { readonly file: string; readonly id: string | undefined };
}

const windowBytes = 1024 * 1024;
/** A version that is cut by the end of a window is whole in the next one. */
const overlapBytes = 256;
/** The largest servers, with their debugging information, stay below it. */
const maxProgramBytes = 1024 * 1024 * 1024;

/** MYSQL_SERVER_VERSION of MariaDB, and MYSQL_BASE_VERSION of MySQL: strings of their own. */
const mariadbVersion = /\0(\d{1,3}\.\d{1,3}\.\d{1,3}-MariaDB[\w.+~-]{0,64})\0/;
const mysqlVersion = /\0mysqld-(\d{1,3}\.\d{1,3})\0/;

/** The ELF note of NT_GNU_BUILD_ID, which linkers put in front of the program: sizes of name and content, type 3, "GNU" (elf(5)). */
const buildIdNote = /\x04\0\0\0([\x08-\x40])\0\0\0\x03\0\0\0GNU\0/;

/** @param programPath where it was started from, for its name */
export async function readServerProgram(pid: number, programPath: string): Promise<ServerProgram> {
  const byName = basename(programPath) === 'mariadbd' ? 'mariadb' : 'mysql';
  try {
    const file = await openRegularFile(`/proc/${pid}/exe`);
    if (file === undefined) return { product: byName, ...unknown };
    try {
      return await searchVersion(file, byName);
    } finally {
      await file.close();
    }
  } catch (error) {
    // Ended meanwhile, or on a file system that this process may not read.
    if (systemErrorCode(error) === undefined) throw error;
    return { product: byName, ...unknown };
  }
}

const unknown = { version: 'unknown', build: { file: '', id: undefined } };

/** Exported for tests. */
export async function searchVersion(
  file: FileHandle,
  byName: ServerProgram['product'],
): Promise<ServerProgram> {
  const { size, dev, ino, ctimeMs } = await file.stat();
  const window = Buffer.allocUnsafe(windowBytes);
  let base: string | undefined;
  let id: string | undefined;
  const build = (): ServerProgram['build'] => ({ file: `${dev}:${ino}:${ctimeMs}`, id });
  for (let at = 0; at < Math.min(size, maxProgramBytes); at += windowBytes - overlapBytes) {
    const { bytesRead } = await file.read(window, 0, windowBytes, at);
    const text = window.toString('latin1', 0, bytesRead);
    if (at === 0) id = buildIdIn(text);
    const mariadb = mariadbVersion.exec(text)?.[1];
    // MariaDB has both.
    if (mariadb !== undefined) return { product: 'mariadb', version: mariadb, build: build() };
    base ??= mysqlVersion.exec(text)?.[1];
  }
  return { product: byName, version: base ?? 'unknown', build: build() };
}

/** @param text a byte a character */
function buildIdIn(text: string): string | undefined {
  const note = buildIdNote.exec(text);
  if (note === null) return undefined;
  const start = note.index + note[0].length;
  return Buffer.from(text.slice(start, start + (note[1] ?? '').charCodeAt(0)), 'latin1').toString('hex');
}
