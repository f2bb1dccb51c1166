/**
 * Which product and version a server's program is, from the bytes of its file: the program is anybody's who names a process
 * mysqld, so that it is never run. `/proc/PID/exe` is the very file that was started, and always a regular one.
 */
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Deadline } from '../deadline.ts';
import { openRegularFile } from '../safe-files.ts';
import { systemErrorCode } from '../guest-error.ts';

export interface ServerProgram {
  readonly product: 'mariadb' | 'mysql';
  /** "10.11.19-MariaDB", "9.7", or "unknown" when the file does not tell. */
  readonly version: string;
  /** Which compiled program it is: the file, and in hexadecimal the build id in it, which anybody can write into a file of his. */
  readonly build: { readonly file: string; readonly id: string | undefined };
}

/** What holds the build id. */
const headBytes = 64 * 1024;
const windowBytes = 1024 * 1024;
/** A version that is cut by the end of a window is whole in the next one. */
const overlapBytes = 256;
/** What is read of one program, in all: several times MySQL's, whose constants lie before its debugging information. */
const maxProgramBytes = 256 * 1024 * 1024;

/** MYSQL_SERVER_VERSION of MariaDB, and MYSQL_BASE_VERSION of MySQL: strings of their own. */
const mariadbVersion = /\0(\d{1,3}\.\d{1,3}\.\d{1,3}-MariaDB[\w.+~-]{0,64})\0/;
const mysqlVersion = /\0mysqld-(\d{1,3}\.\d{1,3})\0/;
/** MariaDB has MYSQL_BASE_VERSION too, and went from 5.5 to 10.0. */
const mysqlAlone = /^[89]\./;

/** The ELF note of NT_GNU_BUILD_ID, which linkers put in front of the program: sizes of name and content, type 3, "GNU" (elf(5)). */
const buildIdNote = /\x04\0\0\0([\x08-\x40])\0\0\0\x03\0\0\0GNU\0/;

/** @param programPath where it was started from, for its name */
export async function readServerProgram(
  pid: number,
  programPath: string,
  deadline: Deadline,
): Promise<ServerProgram> {
  const byName = basename(programPath) === 'mariadbd' ? 'mariadb' : 'mysql';
  try {
    const file = await openRegularFile(`/proc/${pid}/exe`);
    if (file === undefined) return { product: byName, ...unknown };
    try {
      return await searchVersion(file, byName, deadline);
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

/**
 * Looks where constants are first: in servers as they are built, the version stands at the beginning of them. MySQL's program
 * has 76 MB, which take an emulated guest ten seconds and more to read and search. Exported for tests.
 */
export async function searchVersion(
  file: FileHandle,
  byName: ServerProgram['product'],
  deadline: Deadline,
  maxBytes = maxProgramBytes,
): Promise<ServerProgram> {
  const { size, dev, ino, ctimeMs } = await file.stat();
  const head = { start: 0, end: Math.min(size, headBytes) };
  const build = { file: `${dev}:${ino}:${ctimeMs}`, id: buildIdIn(await readText(file, head)) };
  let base: string | undefined;
  let readBytes = 0;
  for (const range of [await constantsOf(file, size), { start: 0, end: size }]) {
    for await (const text of windowsOf(file, range)) {
      readBytes += text.length;
      if (readBytes > maxBytes || deadline.remainingMs === 0)
        return { product: byName, version: base ?? 'unknown', build };
      const mariadb = mariadbVersion.exec(text)?.[1];
      if (mariadb !== undefined) return { product: 'mariadb', version: mariadb, build };
      base ??= mysqlVersion.exec(text)?.[1];
      if (base !== undefined && mysqlAlone.test(base)) return { product: 'mysql', version: base, build };
    }
  }
  return { product: byName, version: base ?? 'unknown', build };
}

/** @param text a byte a character */
function buildIdIn(text: string): string | undefined {
  const note = buildIdNote.exec(text);
  if (note === null) return undefined;
  const start = note.index + note[0].length;
  return Buffer.from(text.slice(start, start + (note[1] ?? '').charCodeAt(0)), 'latin1').toString('hex');
}

/** Bytes of a file. */
interface Range {
  readonly start: number;
  readonly end: number;
}

async function* windowsOf(file: FileHandle, { start, end }: Range): AsyncGenerator<string> {
  for (let at = start; at < end; at += windowBytes - overlapBytes)
    yield readText(file, { start: at, end: Math.min(at + windowBytes, end) });
}

/** A byte a character. */
async function readText(file: FileHandle, { start, end }: Range): Promise<string> {
  const bytes = Buffer.allocUnsafe(end - start);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
  return bytes.toString('latin1', 0, bytesRead);
}

/** elf(5), 64 bits and little-endian: fields of the file's header and of a section's, which have 64 bytes each. */
const elf = { magic: 0x464c457f, headerBytes: 64, sectionsOffset: 0x28, sectionCount: 0x3c } as const;
const section = { headerBytes: 64, type: 0x04, flags: 0x08, offset: 0x18, size: 0x20 } as const;
/** SHT_PROGBITS; of SHF_WRITE, SHF_ALLOC and SHF_EXECINSTR the second alone. */
const constants = { type: 1, flagsMask: 7n, flags: 2n } as const;

/**
 * The largest section of constants, which is .rodata: one, since a program of anybody's can have any number of them, in the same
 * bytes. An empty one where the file does not say.
 */
async function constantsOf(file: FileHandle, programEnd: number): Promise<Range> {
  let largest = { start: 0, end: 0 };
  const header = Buffer.alloc(elf.headerBytes);
  await file.read(header, 0, header.length, 0);
  const tableStart = Number(header.readBigUInt64LE(elf.sectionsOffset));
  if (header.readUInt32LE(0) !== elf.magic || tableStart > programEnd) return largest;
  const table = Buffer.alloc(header.readUInt16LE(elf.sectionCount) * section.headerBytes);
  await file.read(table, 0, table.length, tableStart);
  for (let at = 0; at < table.length; at += section.headerBytes) {
    if (table.readUInt32LE(at + section.type) !== constants.type) continue;
    if ((table.readBigUInt64LE(at + section.flags) & constants.flagsMask) !== constants.flags) continue;
    const start = Number(table.readBigUInt64LE(at + section.offset));
    const end = Math.min(start + Number(table.readBigUInt64LE(at + section.size)), programEnd);
    if (end - start > largest.end - largest.start) largest = { start, end };
  }
  return largest;
}
