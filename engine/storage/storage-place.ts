/** Where the destination finds what the page list names: the `--storage` arguments, matched to the list's sources. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import type { PageSource } from '../list/page-list.ts';
import { openDiskImage, refuseImageFile } from './disk-image.ts';
import { openFileStorage } from './file-storage.ts';
import { connectNbd } from './nbd-client.ts';
import { nfsBlockdev, openThroughStorageDaemon, rawBlockdev, readUri } from './nbd-export.ts';
import type { StorageReader } from './storage-reader.ts';

export interface StoragePlace {
  /** Disk serial, guest name of the disk, or shared file system that this place is for; undefined: the VM's only disk. */
  readonly name: string | undefined;
  /** A URI or a path. */
  readonly location: string;
}

/**
 * Reads an argument `[NAME=]LOCATION`; a location is `nfs://HOST/PATH`, `nbd+unix:///EXPORT?socket=PATH`, or the path of
 * a file or block device with a raw or qcow2 image, or the folder where the shared file system NAME is mounted. For a shared file system the NFS
 * location is its export; each of its files then takes a storage daemon.
 */
export function parseStoragePlace(text: string): StoragePlace {
  // A name may hold "/" and ":" (server:/export), but a location's own "=" only comes after its "?" or a "/" at its start.
  const match = /^(?!\/|nbd\+unix:|nfs:)([^=]+)=(.+)$/s.exec(text);
  return match === null ? { name: undefined, location: text } : { name: match[1], location: match[2] ?? '' };
}

/** Adds an argument to those before. @throws CodedError 'storage', 'invalid-place' where one of these is of the same disk */
export function addStoragePlace(text: string, before: readonly StoragePlace[]): readonly StoragePlace[] {
  const place = parseStoragePlace(text);
  if (before.some(({ name }) => name === place.name))
    throw new CodedError(
      'storage',
      'invalid-place',
      place.name === undefined
        ? 'Of several places all but one need the names of their disks: NAME=PLACE.'
        : `"${place.name}" has a place already.`,
    );
  return [...before, place];
}

/** Storage that `source` is read from: sources with the same key are the same bytes. Undefined if no place is given for it. */
export function storageKeyOf(source: PageSource, places: readonly StoragePlace[]): string | undefined {
  const location = placeOf(source, places)?.location;
  if (location === undefined) return undefined;
  return source.kind === 'disk' ? location : `${location}\0${source.path}`;
}

/** Disks that no place is given for by name: they must be one disk for a place without a name to be its. */
export function disksWithoutName(
  sources: readonly PageSource[],
  places: readonly StoragePlace[],
): readonly string[] {
  const disks = sources.flatMap((source) => (source.kind === 'disk' ? [source.disk] : []));
  return [...new Set(disks)].filter((disk) => placeByName(disk, places) === undefined);
}

/** Whether reading it takes a storage daemon of its own. */
export function takesDaemon(source: PageSource, places: readonly StoragePlace[]): boolean {
  return placeOf(source, places)?.location.startsWith('nfs://') === true;
}

function placeOf(source: PageSource, places: readonly StoragePlace[]): StoragePlace | undefined {
  return source.kind === 'file'
    ? places.find(({ name }) => name === source.fileSystem)
    : (placeByName(source.disk, places) ?? places.find(({ name }) => name === undefined));
}

/**
 * Characters of a serial that the guest sees: with virtio-blk and NVMe (VIRTIO_BLK_ID_BYTES in linux/virtio_blk.h; `sn` in linux/nvme.h),
 * and with SCSI (scsi_disk_emulate_vpd_page of QEMU's hw/scsi/scsi-disk.c).
 */
const shownSerialLengths = [20, 36, Infinity];

/**
 * The place of that name. A name may be a longer serial, as a volume's UUID is, that the guest sees cut, if it is the only such; blanks
 * around what it sees are no part of it, as buses fill serials up with them.
 */
function placeByName(disk: string, places: readonly StoragePlace[]): StoragePlace | undefined {
  const exact = places.find(({ name }) => name === disk);
  if (exact !== undefined) return exact;
  const shown = places.filter(({ name }) =>
    shownSerialLengths.some((length) => name?.slice(0, length).trim() === disk),
  );
  return shown.length === 1 ? shown[0] : undefined;
}

/**
 * Opens what `source` names.
 *
 * @throws CodedError 'storage' if no place is given for it or it cannot be opened
 */
export async function openSource(
  source: PageSource,
  places: readonly StoragePlace[],
): Promise<StorageReader> {
  const place = placeOf(source, places);
  switch (source.kind) {
    case 'disk': {
      if (place === undefined) {
        const named = places.flatMap(({ name }) => (name === undefined ? [] : [`"${name}"`]));
        const others = named.length === 0 ? '' : `, but for ${named.join(', ')}`;
        const reason = `no --storage is given for the disk "${source.disk}"${others}`;
        throw new CodedError('storage', 'invalid-place', reason);
      }
      return openLocation(place.location);
    }
    case 'file': {
      if (place === undefined) {
        throw new CodedError(
          'storage',
          'invalid-place',
          `no --storage is given for the file system "${source.fileSystem}"`,
        );
      }
      return place.location.startsWith('nfs://')
        ? openThroughStorageDaemon(rawBlockdev(nfsBlockdev(uriBelow(place.location, source.path))))
        : openBelow(place.location, source.path);
    }
  }
}

/** What QEMU takes in place of a path, and this engine does not. */
const otherProtocol = /^([\w.+-]+:\/\/|(json|rbd|nbd|file):)/;

async function openLocation(location: string): Promise<StorageReader> {
  if (!location.startsWith('nbd+unix://')) {
    if (!location.startsWith('nfs://') && otherProtocol.test(location))
      throw new CodedError(
        'storage',
        'invalid-place',
        `"${location}" is none of PATH, nfs://HOST/PATH and nbd+unix:///EXPORT?socket=PATH: export the disk by NBD`,
      );
    return openDiskImage(location);
  }
  const { url, path: place = '' } = readUri(location) ?? {};
  const socketPath = url?.searchParams.get('socket') ?? undefined;
  if (url === undefined || (socketPath ?? place) === '')
    throw new CodedError('storage', 'invalid-place', `"${location}" is not nbd+unix:///EXPORT?socket=PATH`);
  const reader = await (socketPath === undefined
    ? connectNbd(place, '')
    : connectNbd(socketPath, place.slice(1)));
  try {
    await refuseImageFile(location, reader);
    return reader;
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The guest names the path, so that it must not lead out of the export. */
function uriBelow(exportUri: string, relativePath: string): string {
  const names = relativePath.split('/');
  if (names.some((name) => name === '' || name === '.' || name === '..'))
    throw new CodedError('storage', 'outside', `"${relativePath}" is not in ${exportUri}`);
  return `${exportUri.replace(/\/+$/, '')}/${names.map(encodeURIComponent).join('/')}`;
}

/** The guest names the path, so that it must not lead out of the folder, by ".." or by a link. */
async function openBelow(folder: string, relativePath: string): Promise<StorageReader> {
  let root: string;
  try {
    root = await realpath(folder);
  } catch (cause) {
    throw new CodedError('storage', 'cannot-open', `cannot open ${folder}`, { cause });
  }
  return openFileStorage(path.join(root, relativePath), root);
}
