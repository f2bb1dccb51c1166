/**
 * The VM's disk as it lies on the host. A raw image is read as it is. A qcow2 image is read by a storage daemon, which is told
 * every file of its backing chain: nothing that an image names is opened unless it is a file or block device that was looked at.
 */
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { allocateAligned, openFileStorage, versionOfFile } from './file-storage.ts';
import { type BackingFile, imageHeaderBytes, readImageHeader } from './image-header.ts';
import { type Blockdev, nfsBlockdev, openThroughStorageDaemon, rawBlockdev } from './nbd-export.ts';
import { reopeningReader } from './reopening-reader.ts';
import { type StorageReader, storageAlignmentBytes } from './storage-reader.ts';

/** A file that holds an image or a part of it. */
interface ImageFile {
  readonly place: string;
  /** Its bytes as they are, and how QEMU opens them. */
  open(): Promise<{ readonly bytes: StorageReader; readonly blockdev: Blockdev }>;
  /** The file that an image in this one names. @throws CodedError 'storage', 'unsupported-image' */
  backing(name: string): ImageFile;
  /** Changes when the file has; undefined where that cannot be seen. */
  version(): Promise<string | undefined>;
}

/** Images behind images: a limit to what a header can lead to. */
const maxChain = 64;

/**
 * Opens a disk for reading: a file or block device, or nfs://HOST/PATH.
 *
 * @throws CodedError 'storage'; 'unsupported-image' with what it is where its format is not read
 */
export async function openDiskImage(location: string): Promise<StorageReader> {
  const file = location.startsWith('nfs://') ? nfsFile(location) : localFile(location);
  const opened = await file.open();
  try {
    const { sizeBytes } = opened.bytes;
    if (sizeBytes < storageAlignmentBytes)
      throw new CodedError(
        'storage',
        'unsupported-image',
        `${location} has ${sizeBytes} bytes: it is no disk, or describes one that is elsewhere`,
      );
    const header = readImageHeader(await firstBytes(opened.bytes));
    if (header.format === 'raw') return opened.bytes;
  } catch (error) {
    await opened.bytes.close();
    throw error;
  }
  await opened.bytes.close();
  return reopeningReader({
    open: async () => openThroughStorageDaemon(await imageNode(file, undefined, 1)),
    version: () => file.version(),
  });
}

/** What is read from `bytes` must be the guest's disk, and not a file that has it in another format. @throws as openDiskImage does */
export async function refuseImageFile(place: string, bytes: StorageReader): Promise<void> {
  const header = readImageHeader(await firstBytes(bytes));
  if (header.format === 'raw') return;
  const why = header.format === 'qcow2' ? 'a qcow2 image: export what it holds, with its format' : header.why;
  throw new CodedError('storage', 'unsupported-image', `${place} is ${why}`);
}

/** The image's description for QEMU's blockdev-add, with all that it stands on. */
async function imageNode(file: ImageFile, format: string | undefined, depth: number): Promise<Blockdev> {
  const refuse = (why: string): never => {
    throw new CodedError('storage', 'unsupported-image', `${file.place} ${why}`);
  };
  if (depth > maxChain) refuse(`is behind ${maxChain} other images`);
  if (format !== undefined && format !== 'raw' && format !== 'qcow2')
    refuse(`is said to be of the format "${format}": only raw and qcow2 are read`);
  const { bytes, blockdev } = await file.open();
  try {
    if (format === 'raw') return rawBlockdev(blockdev);
    const header = readImageHeader(await firstBytes(bytes));
    switch (header.format) {
      case 'raw':
        return format === 'qcow2'
          ? refuse('is said to be a qcow2 image, and is none')
          : rawBlockdev(blockdev);
      case 'unsupported':
        return refuse(`is ${header.why}`);
      case 'qcow2':
        return {
          ...{ driver: 'qcow2', 'read-only': true, 'force-share': true, file: blockdev },
          backing: await backingNode(file, header.backing, depth),
        };
    }
  } finally {
    await bytes.close();
  }
}

async function backingNode(
  file: ImageFile,
  backing: BackingFile | undefined,
  depth: number,
): Promise<Blockdev | null> {
  // QEMU takes null for an image that stands alone, and would open what the header names if it were told nothing.
  return backing === undefined ? null : imageNode(file.backing(backing.name), backing.format, depth + 1);
}

async function firstBytes(bytes: StorageReader): Promise<Buffer> {
  const wanted = Math.min(imageHeaderBytes, bytes.sizeBytes);
  // What is no whole sector is read through the page cache, or not at all.
  const whole = wanted - (wanted % storageAlignmentBytes);
  const into = allocateAligned(whole);
  if (whole > 0) await bytes.read(into, 0);
  return into;
}

function localFile(place: string): ImageFile {
  return {
    place,
    open: async () => {
      const bytes = await openFileStorage(place);
      const blockdev = {
        driver: bytes.isBlockDevice ? 'host_device' : 'file',
        filename: path.resolve(place),
        'read-only': true,
        // The source's QEMU holds locks on it.
        'force-share': true,
        cache: { direct: bytes.direct, 'no-flush': false },
      };
      return { bytes, blockdev };
    },
    backing: (name) => {
      // QEMU takes what stands before a colon for a protocol (block.c, path_has_protocol).
      if (/^[^/]*:/.test(name)) throw notAFile(place, name);
      return localFile(path.resolve(path.dirname(path.resolve(place)), name));
    },
    version: () => versionOfFile(place),
  };
}

function nfsFile(place: string): ImageFile {
  return {
    place,
    open: async () => {
      const blockdev = nfsBlockdev(place);
      return { bytes: await openThroughStorageDaemon(rawBlockdev(blockdev)), blockdev };
    },
    backing: (name) => {
      if (/^[^/]*:/.test(name) || name.startsWith('/')) throw notAFile(place, name);
      return nfsFile(new URL(name.split('/').map(encodeURIComponent).join('/'), place).href);
    },
    // Nobody tells.
    version: () => Promise.resolve(undefined),
  };
}

function notAFile(place: string, backing: string): CodedError<'storage'> {
  return new CodedError(
    'storage',
    'unsupported-image',
    `${place} has the backing file "${backing}", which is not a file beside it: export the disk by NBD`,
  );
}
