/** Shared storage as a file or a block device of this host, read past the page cache. */
import { constants } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { CodedError, isCoded } from '../../foundation/coded-error.ts';
import { type StorageReader, storageAlignmentBytes } from './storage-reader.ts';

interface FileStorage extends StorageReader {
  /** Whether reads go past the page cache. */
  readonly direct: boolean;
  readonly isBlockDevice: boolean;
}

/**
 * Opens a file or block device for reading. Where the file system has no O_DIRECT (tmpfs, some FUSE file systems), reads
 * go through the page cache; over NFS that may give content that the file no longer has, which the content hash catches.
 *
 * @param folder real path of the folder that the file must lie in, wherever links lead; then it may be no device either
 * @throws CodedError 'storage', 'cannot-open', 'outside'
 */
export async function openFileStorage(path: string, folder?: string): Promise<FileStorage> {
  let file: FileHandle;
  let direct: boolean;
  let isBlockDevice: boolean;
  let sizeBytes: number;
  try {
    ({ file, direct, isBlockDevice } = await withHeld(path, folder, async (held, isBlockDevice) => ({
      ...(await openDirect(held)),
      isBlockDevice,
    })));
  } catch (cause) {
    if (isCoded(cause, 'storage')) throw cause;
    throw new CodedError('storage', 'cannot-open', `cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
  try {
    sizeBytes = await sizeOf(file);
  } catch (cause) {
    await file.close();
    throw cause;
  }
  return {
    sizeBytes,
    direct,
    isBlockDevice,
    read: async (into, offsetBytes) => {
      let done = 0;
      while (done < into.length) {
        let bytes: number;
        try {
          ({ bytesRead: bytes } = await file.read(into, done, into.length - done, offsetBytes + done));
        } catch (cause) {
          throw new CodedError('storage', 'read-failed', `cannot read ${path}: ${messageOf(cause)}`, {
            cause,
          });
        }
        if (bytes === 0)
          throw new CodedError('storage', 'read-failed', `${path} ends before ${offsetBytes + into.length}`);
        done += bytes;
      }
    },
    close: () => file.close(),
  };
}

/**
 * Changes with every write to a file; undefined for a block device, whose times and size say nothing of writes, least of those from
 * another host. The file is opened for it: NFS asks its server then, and not for a look at the path (nfs(5), close-to-open).
 */
export async function versionOfFile(path: string): Promise<string | undefined> {
  return withHeld(path, undefined, async (held, isBlockDevice) => {
    if (isBlockDevice) return undefined;
    const file = await open(held, readOnly);
    try {
      const { size, mtimeMs } = await file.stat();
      return `${size} ${mtimeMs}`;
    } finally {
      await file.close();
    }
  });
}

/** O_PATH of open(2), which Node does not name: a hold on a file, which does not open it. */
const holdOnly = 0o10_000_000;

const readOnly = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Holds what the path names, looks at it, and gives a path of that very file: a FIFO or a character device is never opened, and nobody
 * can put another file in its place between the look and the opening.
 */
async function withHeld<Result>(
  path: string,
  folder: string | undefined,
  body: (held: string, isBlockDevice: boolean) => Promise<Result>,
): Promise<Result> {
  const hold = await open(path, holdOnly);
  try {
    const stat = await hold.stat();
    if (!stat.isFile() && !(stat.isBlockDevice() && folder === undefined))
      throw new CodedError(
        'storage',
        'cannot-open',
        `${path} is not a file${folder === undefined ? ' or block device' : ''}`,
      );
    const held = `/proc/self/fd/${hold.fd}`;
    if (folder !== undefined && !(await readlink(held)).startsWith(folder === '/' ? '/' : `${folder}/`))
      throw new CodedError('storage', 'outside', `${path} is not in ${folder}`);
    return await body(held, stat.isBlockDevice());
  } finally {
    await hold.close();
  }
}

async function openDirect(path: string): Promise<{ readonly file: FileHandle; readonly direct: boolean }> {
  try {
    const file = await open(path, readOnly | constants.O_DIRECT);
    try {
      // Some file systems take the flag and then refuse every read.
      await file.read(allocateAligned(storageAlignmentBytes), 0, storageAlignmentBytes, 0);
      return { file, direct: true };
    } catch {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  }
  return { file: await open(path, readOnly), direct: false };
}

async function sizeOf(file: FileHandle): Promise<number> {
  const stat = await file.stat();
  return stat.isFile() ? stat.size : blockDeviceSize(file);
}

/** Size of a block device by bisection: a read at its end gives nothing, and Node has no ioctl. */
async function blockDeviceSize(file: FileHandle): Promise<number> {
  const unit = storageAlignmentBytes;
  const sector = allocateAligned(unit);
  const hasBlock = async (block: number): Promise<boolean> =>
    file.read(sector, 0, unit, block * unit).then(
      ({ bytesRead }) => bytesRead > 0,
      () => false,
    );
  let blocks = 1;
  while (await hasBlock(blocks)) blocks *= 2;
  let first = Math.floor(blocks / 2);
  let last = blocks;
  while (last - first > 1) {
    const middle = Math.floor((first + last) / 2);
    if (await hasBlock(middle)) first = middle;
    else last = middle;
  }
  return (await hasBlock(first)) ? (first + 1) * unit : 0;
}

/**
 * A buffer whose memory is aligned for O_DIRECT. Node does not tell where a buffer lies, but large ones are mapped by the
 * C library of their own, right after its header of 16 bytes, so that they lie 16 bytes behind the start of a page. If
 * that ever changes, reads fail with EINVAL at once and `openFileStorage` falls back to the page cache.
 */
export function allocateAligned(bytes: number): Buffer {
  // The C library maps by itself what is larger than a threshold that grows up to 32 MiB, as such memory is freed.
  const block = Buffer.allocUnsafeSlow(Math.max(bytes + 2 * storageAlignmentBytes, minMappedBytes));
  const start = storageAlignmentBytes - mallocHeaderBytes;
  return block.subarray(start, start + bytes);
}

const mallocHeaderBytes = 16;
const minMappedBytes = 33 * 1024 * 1024;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
