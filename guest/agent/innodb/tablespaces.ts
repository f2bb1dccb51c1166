/** Which file holds which tablespace, from the files' own first pages: no SQL, no dictionary. */
import { closeSync, readlinkSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate as answerRequests } from 'node:timers/promises';
import type { Deadline } from '../deadline.ts';
import { GuestError, systemErrorCode } from '../guest-error.ts';
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

/** All files of a server have pages of one size: that of the first which says one of InnoDB's. Others are excluded. */
export function withOnePageSize(files: readonly TablespaceFile[]): {
  readonly pageSizeBytes: number;
  readonly tablespaces: readonly TablespaceFile[];
} {
  const stated = files.find(({ pageSizeBytes }) => pageSizes.includes(pageSizeBytes));
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

/** Files of a folder or a server: a process that calls itself a server can name any number, by paths as long as it likes. */
const maxFiles = 200_000;
/** Of a path, on average. */
const maxPathLength = 160;

/** Files looked at between two looks at what the host asks. */
const filesAtOnce = 512;

/** FSP_SPACE_FLAGS: FSP_HEADER_OFFSET (38) + 16. */
const flagsOffset = 54;
/** MySQL keeps `FSP_FLAGS_POS_ENCRYPTION` here; in MariaDB it belongs to another field of the old format. */
const mysqlEncryptionBit = 1 << 13;
/** MariaDB, old format: FSP_FLAGS_POS_PAGE_COMPRESSION. */
const mariadbPageCompressionBit = 1 << 16;
/** MariaDB: FSP_FLAGS_FCRC32_POS_MARKER; MySQL has the top bit of ZIP_SSIZE here, which is never set. */
const fullCrc32Bit = 1 << 4;

/**
 * Reads a tablespace file's first page. Undefined when it is none, or one that was never written.
 */
export function describeTablespace(
  path: string,
  bytes: Uint8Array,
  product: 'mariadb' | 'mysql',
): TablespaceFile | undefined {
  if (bytes.length < 4096) return undefined;
  const spaceId = readU32(bytes, spaceIdOffset);
  const firstPage = readU32(bytes, pageNumberOffset);
  const isSystem = basename(path).startsWith('ibdata');
  // Zeros: created, but its first page is not on disk yet. Only the system tablespace has id 0.
  if (spaceId === 0 && !isSystem) return undefined;
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

/** fil_space_crypt_t as fil0crypt.cc writes it behind the extent descriptors of the first page. */
function mariadbEncryption(bytes: Uint8Array, pageSizeBytes: number): 'encrypted' | undefined {
  const magic = [0x73, 0x0e, 0x0c, 0x52, 0x45, 0x74];
  const pagesPerExtent = pageSizeBytes >= 16 * 1024 ? 64 : (1024 * 1024) / pageSizeBytes;
  const descriptors = pageSizeBytes / pagesPerExtent;
  const offset = 150 + 40 * descriptors;
  const found = magic.every((byte, index) => bytes[offset + index] === byte);
  // The byte after the magic is the scheme; 0 stands for "not encrypted".
  return found && bytes[offset + magic.length] !== 0 ? 'encrypted' : undefined;
}

/**
 * Paths of all tablespace files: first those that the server holds open anywhere, then those in the data directory (the
 * server's working directory), since a server with many tables closes some. Temporary tablespaces are not among them.
 *
 * @returns with each path whether the server holds it open
 */
function findTablespacePaths(pid: number, deadline: Deadline, most: number): ReadonlyMap<string, boolean> {
  const within = pathsOf(pid);
  const paths = new Map<string, boolean>();
  let length = 0;
  const add = (path: string, isHeld: boolean): void => {
    if (paths.has(path)) return;
    length += path.length;
    if (paths.size === most || length > most * maxPathLength)
      throw new GuestError('too-large', `process ${pid} has more than ${paths.size} tablespace files`);
    paths.set(path, isHeld);
  };
  for (const { name: descriptor } of entriesOf(`/proc/${pid}/fd`, maxFiles)) {
    deadline.check();
    const target = readLink(`/proc/${pid}/fd/${descriptor}`);
    if (target?.startsWith('/') === true && isTablespaceName(basename(target))) add(within(target), true);
  }
  listTablespaces(within(readlinkSync(`/proc/${pid}/cwd`)), 2, deadline, (path) => {
    add(path, false);
  });
  return paths;
}

/** Of what is deleted, the kernel adds ` (deleted)` to the name. `ibtmp1` and `*.ibt` are temporary; `undo_001`, `undo001` and `undo_x.ibu` hold undo logs. */
function isTablespaceName(name: string): boolean {
  if (name.endsWith(' (deleted)')) return false;
  return /\.(ibd|ibu)$/.test(name) || /^ibdata\d*/.test(name) || /^undo_?\d+$/.test(name);
}

/** As far as it can be read: what is wrong with one folder, or a link to one, is no reason to do without the others. */
function listTablespaces(
  folder: string,
  depth: number,
  deadline: Deadline,
  add: (path: string) => void,
): void {
  try {
    for (const { name, kind } of entriesOf(folder, Infinity)) {
      deadline.check();
      if (kind === 'file') {
        if (isTablespaceName(name)) add(join(folder, name));
        // A database may be a symbolic link to a folder elsewhere.
      } else if (depth > 1 && kind !== 'other') listTablespaces(join(folder, name), depth - 1, deadline, add);
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

/**
 * The tablespace files of a server. What a file's first page says is remembered by inode, since every read of one goes to
 * the disk (the server bypasses the page cache); a tablespace that is dropped and made again has another inode.
 */
export class TablespaceIndex {
  private readonly product: 'mariadb' | 'mysql';
  private known = new Map<string, TablespaceFile>();
  private readonly start = new Uint8Array(largestPageBytes);

  constructor(product: 'mariadb' | 'mysql') {
    this.product = product;
  }

  /**
   * What was looked at when time was over is known the next time.
   * @throws GuestError 'too-slow', 'too-large'
   */
  async read(pid: number, deadline: Deadline, most = maxFiles): Promise<TablespaceFile[]> {
    const paths = findTablespacePaths(pid, deadline, Math.min(most, maxFiles));
    const known = new Map<string, TablespaceFile>();
    const found: FoundFile[] = [];
    try {
      let looked = 0;
      for (const [path, isHeld] of paths) {
        deadline.check();
        const described = this.describe(path);
        // The same file may have a second path, through a link.
        if (described !== undefined && !known.has(described.key)) {
          known.set(described.key, described.file);
          found.push({ file: described.file, isHeld });
        }
        if (++looked % filesAtOnce === 0) await answerRequests();
      }
    } finally {
      this.known = known;
    }
    return withoutCopies(found);
  }

  /** Files that it remembers. */
  get size(): number {
    return this.known.size;
  }

  private describe(path: string): { key: string; file: TablespaceFile } | undefined {
    try {
      const { dev, ino, birthtimeMs } = statSync(path);
      const key = `${dev}:${ino}:${birthtimeMs}`;
      const known = this.known.get(key);
      if (known?.path === path) return { key, file: known };
      let file = describeTablespace(path, this.readStart(path, usualPageBytes), this.product);
      if (file !== undefined && file.pageSizeBytes > usualPageBytes)
        file = describeTablespace(path, this.readStart(path, largestPageBytes), this.product);
      return file === undefined ? undefined : { key, file };
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
