/** What of a VM's disks is given to the destination engine as `--storage`. Pure. */
import type { PageSource } from '../engine/list/page-list.ts';
import {
  disksWithoutName,
  parseStoragePlace,
  storageKeyOf,
  type StoragePlace,
} from '../engine/storage/storage-place.ts';
import type { DiskFacts } from './facts.ts';

/**
 * What the guest's list calls a disk; empty where nobody knows. Of a serial that two disks have, or that is the name of one, it makes
 * no use.
 */
function listedAs({ serial, target }: DiskFacts, disks: readonly DiskFacts[]): string {
  const isName = disks.some((disk) => disk.target === serial);
  const isOwn = serial !== '' && !isName && disks.filter((disk) => disk.serial === serial).length === 1;
  return isOwn ? serial : target;
}

/** As `--storage` takes them: named where there are several. A disk that cannot be told from others has none. */
export function placesOf(disks: readonly DiskFacts[], given: readonly string[]): readonly string[] {
  if (given.length > 0) return given;
  const nameless = disks.filter((disk) => listedAs(disk, disks) === '');
  return disks.flatMap((disk) => {
    if (disk.place === undefined) return [];
    const name = listedAs(disk, disks);
    if (disks.length === 1 || (name === '' && nameless.length === 1)) return [disk.place];
    return name === '' ? [] : [`${name}=${disk.place}`];
  });
}

/** Disks of which several cannot be told from each other, and that have none of the places. */
export function disksNotTold(disks: readonly DiskFacts[], places: readonly string[]): readonly DiskFacts[] {
  const locations = new Set(places.map((text) => parseStoragePlace(text).location));
  if (places.length >= disks.length) return [];
  return disks.filter(
    (disk) => listedAs(disk, disks) === '' && disk.place !== undefined && !locations.has(disk.place),
  );
}

/** Disks that the engine cannot read by itself, without a place that was given for them. */
export function disksNotRead(disks: readonly DiskFacts[], places: readonly string[]): readonly DiskFacts[] {
  const names = new Set(places.map((text) => parseStoragePlace(text).name));
  return disks.filter(
    ({ place, serial, target }) =>
      place === undefined &&
      !names.has(serial) &&
      !names.has(target) &&
      !(disks.length === 1 && names.has(undefined)),
  );
}

/** Disks and file systems of a guest's list that no place is for, as the destination engine takes the places. */
export function sourcesWithoutPlace(
  sources: readonly PageSource[],
  places: readonly string[],
): readonly string[] {
  const given = places.map(parseStoragePlace);
  const nameless = disksWithoutName(sources, given);
  const without = sources.filter(
    (source) =>
      storageKeyOf(source, given) === undefined ||
      (nameless.length > 1 && source.kind === 'disk' && nameless.includes(source.disk)),
  );
  return [...new Set(without.map((source) => (source.kind === 'disk' ? source.disk : source.fileSystem)))];
}

/** Files, block devices and `nfs://`, without their names; what lies on a file system that the guest mounts is none. */
export const comparable = (places: readonly string[]): readonly string[] =>
  places
    .map(parseStoragePlace)
    .filter(isComparable)
    .map(({ location }) => location);

/** Places that only the engine opens. */
export const notComparable = (places: readonly string[]): readonly string[] =>
  places.filter((place) => !isComparable(parseStoragePlace(place)));

/** Places of disks, which the destination engine opens as they are; file systems have their files. */
export const openable = (places: readonly string[]): readonly string[] =>
  places.filter((place) => !isFileSystem(parseStoragePlace(place)));

const isFileSystem = ({ name }: StoragePlace): boolean => name?.includes(':/') === true;

const isComparable = (place: StoragePlace): boolean =>
  /^(\/|nfs:\/\/)/.test(place.location) && !isFileSystem(place);

/** Where a place is, without its name. */
export const locationOf = (place: string): string => parseStoragePlace(place).location;
