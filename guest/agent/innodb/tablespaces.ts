/** Which file holds which tablespace, from the files' own first pages: no SQL, no dictionary. */
import { closeSync, readlinkSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate as answerRequests } from 'node:timers/promises';
import type { Deadline } from '../deadline.ts';
import { systemErrorCode } from '../guest-error.ts';
import { pathsOf } from '../process-root.ts';
import { entriesOf, openRegularFileSync } from '../safe-files.ts';
import { readU32, pageNumberOffset, spaceIdOffset } from './page-format.ts';

export interface TablespaceFile {
  readonly path: string;
  readonly spaceId: number;
  /** Above 0 only in the later files of a system tablespace that has several. */
  readonly firstPage: number;
  readonly pageSizeBytes: number;
  /** Why its pages are not equal to the file's bytes, or undefined if they are. */
  readonly excluded: 'compressed' | 'page-compressed' | 'encrypted' | 'page-size' | undefined;
}

/** UNIV_PAGE_SIZE_SHIFT_MIN to _MAX; a file's header may say anything. */
const pageSizes: readonly number[] = [4, 8, 16, 32, 64].map((kibibytes) => kibibytes * 1024);

/**
 * All files of a server have pages of one size: that of its system tablespace, or else of the first which says one of InnoDB's. Others,
 * as of another server or damaged, are excluded.
 */
export function withOnePageSize(files: readonly TablespaceFile[]): {
  readonly pageSizeBytes: number;
  readonly tablespaces: readonly TablespaceFile[];
} {
  const possible = files.filter(({ pageSizeBytes }) => pageSizes.includes(pageSizeBytes));
  const stated = possible.find(({ spaceId }) => spaceId === 0) ?? possible[0];
  const pageSizeBytes = stated?.pageSizeBytes ?? 16 * 1024;
  return {
    pageSizeBytes,
    tablespaces: files.map((file) =>
      file.pageSizeBytes === pageSizeBytes ? file : { ...file, excluded: 'page-size' },
    ),
  };
}

/** Bytes of a file that describeTablespace needs: its first page, which mostly has no more than the first of these. */
const usualPageBytes = 16 * 1024;
const largestPageBytes = 64 * 1024;

/** Files of a server: a process that calls itself a server can name any number, by paths as long as it likes. */
const maxFiles = 200_000;
/** Of a path, on average. */
const maxPathLength = 160;
/** Other files that it holds open, one of which may be its system tablespace. */
const maxOthers = 10_000;

/** Files looked at between two looks at what the host asks. */
const filesAtOnce = 512;

/** FSP_HEADER_OFFSET */
const spaceHeaderOffset = 38;
/** FIL_PAGE_TYPE, and FIL_PAGE_TYPE_FSP_HDR */
const pageTypeOffset = 24;
const spaceHeaderType = 8;
/** FSP_SPACE_ID, FSP_SIZE */
const headerSpaceIdOffset = spaceHeaderOffset;
const sizeOffset = spaceHeaderOffset + 8;
/** FSP_SPACE_FLAGS */
const flagsOffset = spaceHeaderOffset + 16;
/** XDES_ARR_OFFSET: behind FSP_HEADER_SIZE bytes of the header. */
const descriptorsOffset = spaceHeaderOffset + 112;
/** MySQL keeps `FSP_FLAGS_POS_ENCRYPTION` here; in MariaDB it belongs to another field of the old format. */
const mysqlEncryptionBit = 1 << 13;
/** MariaDB, old format: FSP_FLAGS_POS_PAGE_COMPRESSION. */
const mariadbPageCompressionBit = 1 << 16;
/** MariaDB: FSP_FLAGS_FCRC32_POS_MARKER; MySQL has the top bit of ZIP_SSIZE here, which is never set. */
const fullCrc32Bit = 1 << 4;

/**
 * Reads a tablespace file's first page. Undefined when it is none, or one that was never written. Of a file that begins later in
 * its tablespace only its place is right: it has no header (withHeaders).
 */
export function describeTablespace(
  path: string,
  bytes: Uint8Array,
  product: 'mariadb' | 'mysql',
): TablespaceFile | undefined {
  if (bytes.length < 4096) return undefined;
  const spaceId = readU32(bytes, spaceIdOffset);
  const firstPage = readU32(bytes, pageNumberOffset);
  const name = basename(path);
  const isSystem = name.startsWith('ibdata');
  if (!isTablespaceName(name) && !hasSystemHeader(bytes)) return undefined;
  // Zeros: created, but its first page is not on disk yet. Only the system tablespace has id 0, in files of which each but the first
  // may begin with a page that is not used yet.
  if (isTablespaceName(name) && spaceId === 0 && (!isSystem || bytes.every((byte) => byte === 0)))
    return undefined;
  const flags = readU32(bytes, flagsOffset);
  if (product === 'mariadb' && (flags & fullCrc32Bit) !== 0) {
    const pageSizeBytes = 512 << (flags & 0xf);
    return {
      path,
      spaceId,
      firstPage,
      pageSizeBytes,
      excluded: ((flags >>> 5) & 7) !== 0 ? 'page-compressed' : mariadbEncryption(bytes, pageSizeBytes),
    };
  }
  const pageSizeShift = (flags >>> 6) & 0xf;
  const pageSizeBytes = pageSizeShift === 0 ? 16 * 1024 : 512 << pageSizeShift;
  let excluded: TablespaceFile['excluded'];
  if (((flags >>> 1) & 0xf) !== 0) excluded = 'compressed';
  else if (product === 'mysql') excluded = (flags & mysqlEncryptionBit) === 0 ? undefined : 'encrypted';
  else if ((flags & mariadbPageCompressionBit) !== 0) excluded = 'page-compressed';
  else excluded = mariadbEncryption(bytes, pageSizeBytes);
  return { path, spaceId, firstPage, pageSizeBytes, excluded };
}

/** Of the first file of a system tablespace, which innodb_data_file_path may give any name. */
function hasSystemHeader(bytes: Uint8Array): boolean {
  return (
    readU32(bytes, pageTypeOffset) >>> 16 === spaceHeaderType &&
    [spaceIdOffset, pageNumberOffset, headerSpaceIdOffset].every((offset) => readU32(bytes, offset) === 0) &&
    readU32(bytes, sizeOffset) > 0
  );
}

/** fil_space_crypt_t as fil0crypt.cc writes it into the first page. */
function mariadbEncryption(bytes: Uint8Array, pageSizeBytes: number): 'encrypted' | undefined {
  const magic = [0x73, 0x0e, 0x0c, 0x52, 0x45, 0x74];
  const offset = cryptDataOffset(pageSizeBytes);
  const found = magic.every((byte, index) => bytes[offset + index] === byte);
  // The byte after the magic is the scheme; 0 stands for "not encrypted".
  return found && bytes[offset + magic.length] !== 0 ? 'encrypted' : undefined;
}

/** FSP_HEADER_OFFSET + fsp_header_get_encryption_offset (fsp0fsp.h), which has the former in it once more. In bytes. */
function cryptDataOffset(pageSizeBytes: number): number {
  // FSP_EXTENT_SIZE
  const pagesPerExtent = pageSizeBytes >= 16 * 1024 ? 64 : (1024 * 1024) / pageSizeBytes;
  // XDES_SIZE: two bits for each page behind XDES_BITMAP.
  const descriptorBytes = 24 + pagesPerExtent / 4;
  const descriptors = pageSizeBytes / pagesPerExtent;
  return spaceHeaderOffset + descriptorsOffset + descriptorBytes * descriptors;
}

/**
 * Paths of all tablespace files, as many as are looked at: first those that the server holds open anywhere, then those in the data
 * directory (the server's working directory), since a server with many tables closes some. Temporary tablespaces are not among them.
 *
 * @returns with each path whether the server holds it open
 */
function findTablespacePaths(pid: number, deadline: Deadline, most: number): ReadonlyMap<string, boolean> {
  const within = pathsOf(pid);
  const others: string[] = [];
  let hasSystem = false;
  const paths = new Map<string, boolean>();
  let length = 0;
  /** Whether there was room for it. */
  const add = (path: string, isHeld: boolean): boolean => {
    if (paths.has(path)) return true;
    length += path.length;
    if (paths.size >= most || length > most * maxPathLength) return false;
    paths.set(path, isHeld);
    return true;
  };
  for (const { name: descriptor } of entriesOf(`/proc/${pid}/fd`, Infinity)) {
    deadline.check();
    const target = readLink(`/proc/${pid}/fd/${descriptor}`);
    if (target?.startsWith('/') !== true || target.endsWith(' (deleted)')) continue;
    const name = basename(target);
    hasSystem ||= name.startsWith('ibdata');
    if (!isTablespaceName(name)) {
      if (others.length < maxOthers) others.push(target);
    } else if (!add(within(target), true)) return paths;
  }
  // innodb_data_file_path may give the system tablespace any name.
  if (!hasSystem) for (const target of others) if (!add(within(target), true)) return paths;
  const root = `/proc/${pid}/root`;
  for (const path of tablespacesIn(within(readlinkSync(`/proc/${pid}/cwd`)), root, 2, deadline))
    if (!add(path, false)) return paths;
  return paths;
}

/** `ibtmp1` and `*.ibt` are temporary; `undo_001`, `undo001` and `undo_x.ibu` hold undo logs. */
function isTablespaceName(name: string): boolean {
  return /\.(ibd|ibu)$/.test(name) || /^ibdata\d*/.test(name) || /^undo_?\d+$/.test(name);
}

/**
 * As far as it can be read: what is wrong with one folder, or a link to one, is no reason to do without the others.
 *
 * @param root of the server, in which links are followed
 */
function* tablespacesIn(folder: string, root: string, depth: number, deadline: Deadline): Generator<string> {
  try {
    for (const { name, kind } of entriesOf(folder, Infinity)) {
      deadline.check();
      if (kind === 'file') {
        if (isTablespaceName(name)) yield join(folder, name);
      } else if (depth > 1 && kind !== 'other') {
        const path = join(folder, name);
        // A database may be a symbolic link to a folder elsewhere.
        const target = kind === 'link' ? readLink(path) : undefined;
        yield* tablespacesIn(
          target?.startsWith('/') === true ? root + target : path,
          root,
          depth - 1,
          deadline,
        );
      }
    }
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    // Closed meanwhile, or deeper than a path is long: no reason to do without the others.
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}

/** The header of a tablespace is page 0: what it says holds for its later files, and without it nothing is known of these. */
function withHeaders(files: readonly TablespaceFile[]): TablespaceFile[] {
  const headers = new Map(
    files.filter(({ firstPage }) => firstPage === 0).map((file) => [file.spaceId, file] as const),
  );
  return files.flatMap((file) => {
    if (file.firstPage === 0) return [file];
    const header = headers.get(file.spaceId);
    if (header === undefined) return [];
    const { pageSizeBytes, excluded } = header;
    return [{ ...file, pageSizeBytes, excluded }];
  });
}

interface FoundFile {
  readonly file: TablespaceFile;
  /** Whether the server has it open. */
  readonly isHeld: boolean;
}

/** Beside files that the server holds, others that say the same tablespace are copies of it, as backups are. */
function withoutCopies(files: readonly FoundFile[]): TablespaceFile[] {
  const held = new Set(files.filter(({ isHeld }) => isHeld).map(({ file }) => file.spaceId));
  return files.filter(({ file, isHeld }) => isHeld || !held.has(file.spaceId)).map(({ file }) => file);
}

/** Of files that changed, in one list: each read may go to the disk. */
const readAgainMs = 2_000;

interface KnownFile {
  readonly file: TablespaceFile;
  /** The file's ctime before its first page was read, in milliseconds: every write changes it. */
  readonly asOfMs: number;
}

/**
 * The tablespace files of a server. What a file's first page says is remembered by inode, since a read of one goes to the
 * disk (the server bypasses the page cache); a tablespace that is dropped and made again has another inode. Servers encrypt and
 * decrypt tablespaces in place, so that first pages of files that were written are read again, in the time that there is for
 * it: what a file said before that is what it says, mostly.
 */
export class TablespaceIndex {
  private readonly product: 'mariadb' | 'mysql';
  private known = new Map<string, KnownFile>();
  private readonly start = new Uint8Array(largestPageBytes);

  constructor(product: 'mariadb' | 'mysql') {
    this.product = product;
  }

  /**
   * What was looked at when time was over is known the next time.
   * @throws GuestError 'too-slow'
   */
  async read(pid: number, deadline: Deadline, most = maxFiles): Promise<TablespaceFile[]> {
    const paths = findTablespacePaths(pid, deadline, Math.min(most, maxFiles));
    const known = new Map<string, KnownFile>();
    const held = new Set<string>();
    const changed: { readonly key: string; readonly before: KnownFile }[] = [];
    try {
      let looked = 0;
      for (const [path, isHeld] of paths) {
        deadline.check();
        if (++looked % filesAtOnce === 0) await answerRequests();
        const found = statOf(path);
        // The same file may have a second path, through a link.
        if (found === undefined || known.has(found.key)) continue;
        const { key, changedMs } = found;
        if (isHeld) held.add(key);
        const before = this.known.get(key);
        const now = before?.file.path === path ? before : this.describe(path, changedMs);
        if (now === undefined) continue;
        known.set(key, now);
        if (now.asOfMs !== changedMs) changed.push({ key, before: now });
      }
      await this.readAgain(changed, known, deadline.within(readAgainMs));
    } finally {
      this.known = known;
    }
    return withHeaders(withoutCopies([...known].map(([key, { file }]) => ({ file, isHeld: held.has(key) }))));
  }

  /** The ones first that were not read for the longest time, so that each has its turn in one of the next lists. */
  private async readAgain(
    changed: { readonly key: string; readonly before: KnownFile }[],
    known: Map<string, KnownFile>,
    deadline: Deadline,
  ): Promise<void> {
    changed.sort((a, b) => a.before.asOfMs - b.before.asOfMs);
    let looked = 0;
    for (const { key, before } of changed) {
      if (deadline.remainingMs === 0) return;
      if (++looked % filesAtOnce === 0) await answerRequests();
      const { path } = before.file;
      const found = statOf(path);
      const now = found?.key === key ? this.describe(path, found.changedMs) : undefined;
      if (now === undefined) known.delete(key);
      else known.set(key, now);
    }
  }

  /** Files that it remembers. */
  get size(): number {
    return this.known.size;
  }

  /** Undefined for what is no tablespace. @param asOfMs its ctime before */
  private describe(path: string, asOfMs: number): KnownFile | undefined {
    try {
      let file = describeTablespace(path, this.readStart(path, usualPageBytes), this.product);
      if (file !== undefined && file.pageSizeBytes > usualPageBytes)
        file = describeTablespace(path, this.readStart(path, largestPageBytes), this.product);
      return file === undefined ? undefined : { file, asOfMs };
    } catch (error) {
      // Dropped while we looked; and whatever is wrong with one file is no reason to do without the others.
      if (systemErrorCode(error) !== undefined) return undefined;
      throw error;
    }
  }

  /** Empty for what is no regular file. The next call overwrites it. */
  private readStart(path: string, bytes: number): Uint8Array {
    const file = openRegularFileSync(path);
    if (file === undefined) return this.start.subarray(0, 0);
    try {
      return this.start.subarray(0, readSync(file, this.start, 0, bytes, 0));
    } finally {
      closeSync(file);
    }
  }
}

/** What tells a file from others, and when it was last changed (ctime). Undefined when it is gone, or cannot be looked at. */
function statOf(path: string): { readonly key: string; readonly changedMs: number } | undefined {
  try {
    const { dev, ino, birthtimeMs, ctimeMs } = statSync(path);
    return { key: `${dev}:${ino}:${birthtimeMs}`, changedMs: ctimeMs };
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}
