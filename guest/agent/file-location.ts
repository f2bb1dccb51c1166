/** Where files lie on storage that the host can reach. */
import { statSync } from 'node:fs';
import { pageSizeBytes, type PageSource } from '../../engine/list/page-list.ts';
import type { LeftOutReason } from '../../engine/list/left-out.ts';
import type { Deadline } from './deadline.ts';
import { type DevicePlace, Disks, majorMinor, type NoPlace } from './block-device.ts';
import { type Extent, type FileExtents, notInTime, readExtents } from './file-extents.ts';
import { systemErrorCode } from './guest-error.ts';
import { parseNetworkMounts, parseOverlayMounts, placeInUpper, placeOnNetwork } from './mounts.ts';
import { readProc } from './safe-files.ts';

export interface FileLocation {
  /** One part for each disk, or the file's own on NFS. */
  readonly parts: readonly {
    readonly source: PageSource;
    /** Blocks of the file on the source, which for a disk counts from the disk's start. */
    readonly extents: readonly Extent[];
  }[];
  /** Why a page of the file lies in none of them. */
  readonly otherwise: LeftOutReason;
}

/**
 * Locates files as process `pid` sees them, by their paths below /proc/PID/root. Those that lie where no block can be named
 * have the reason.
 *
 * @param deadline what is not read by then has no place, or ends it
 * @param isAsked files whose place is of no interest are said to be gone
 * @throws GuestError 'too-slow', 'too-large'
 */
export async function locateFiles(
  pid: number,
  paths: readonly string[],
  extentIndex: ExtentIndex,
  deadline: Deadline,
  isAsked: (index: number) => boolean = () => true,
): Promise<(FileLocation | NoPlace)[]> {
  const root = `/proc/${pid}/root`;
  const mountinfo = readProc(`/proc/${pid}/mountinfo`);
  const mounts = parseNetworkMounts(mountinfo);
  const overlays = parseOverlayMounts(mountinfo);
  const disks = new Disks();
  const files = paths.map((path, index) => {
    deadline.check();
    const file = isAsked(index) ? identify(path) : notThere;
    if (file.device === undefined || overlays.length === 0) return { path, ...file };
    const upper = placeInUpper(overlays, file.device, path.slice(root.length));
    return { path, ...file, device: upper === undefined ? file.device : deviceBelow(upper, file) };
  });
  const devices = new Set(files.flatMap(({ device }) => device ?? []));
  const onDevices = new Map<string, DevicePlace | NoPlace>();
  for (const device of devices) {
    deadline.check();
    onDevices.set(device, await disks.find(device));
  }
  const places = files.map(({ path, device, sizeBytes }) => {
    deadline.check();
    if (device === undefined) return { leftOut: 'gone' } as const;
    const network = placeOnNetwork(mounts, device, path.slice(root.length));
    if (network !== undefined) return { network, sizeBytes };
    return onDevices.get(device) ?? ({ leftOut: 'gone' } as const);
  });
  const onDisk = files.filter((_, index) => 'pieces' in (places[index] ?? {}));
  const extents = await extentIndex.read(onDisk, deadline);
  return files.map(({ path }, index): FileLocation | NoPlace => {
    const place = places[index];
    if (place === undefined || 'leftOut' in place) return place ?? { leftOut: 'gone' };
    if ('network' in place) {
      const count = Math.floor(place.sizeBytes / pageSizeBytes);
      const extents = [{ logicalBlock: 0, physicalBlock: 0, count }];
      return { parts: [{ source: { kind: 'file', ...place.network }, extents }], otherwise: 'unwritten' };
    }
    const found = extents.get(path);
    if (found === undefined) return { leftOut: 'gone' };
    if ('leftOut' in found) return found;
    return { parts: partsOf(found, place), otherwise: found.hasUnaligned ? 'unaligned' : 'unwritten' };
  });
}

/** Extents of a device as extents of the disks that it lies on. */
function partsOf({ extents }: FileExtents, device: DevicePlace): FileLocation['parts'] {
  const byDisk = new Map<string, Extent[]>();
  for (const { logicalBlock, physicalBlock, count } of extents)
    for (const piece of device.pieces(physicalBlock, count)) {
      const known = byDisk.get(piece.disk) ?? [];
      byDisk.set(piece.disk, known);
      known.push({
        logicalBlock: logicalBlock + piece.from - physicalBlock,
        physicalBlock: piece.onDisk,
        count: piece.count,
      });
    }
  return [...byDisk].map(([disk, known]) => ({ source: { kind: 'disk', disk }, extents: known }));
}

/** A file as it is now. */
interface FileState {
  readonly path: string;
  /** The file, and how much of it is allocated. */
  readonly key: string;
  /** When it was last written to, or its inode changed. */
  readonly changedMs: number;
}

interface FileIdentity extends Omit<FileState, 'path'> {
  /** Undefined when the file is gone. */
  readonly device: string | undefined;
  readonly sizeBytes: number;
}

/**
 * The device of a file's copy in an overlay's upper folder, whose blocks are what FIEMAP tells of the overlay's file; that of the
 * overlay if there is none.
 */
function deviceBelow(upper: string, file: FileIdentity): string | undefined {
  const found = identify(upper);
  const isCopy = found.sizeBytes === file.sizeBytes && found.changedMs === file.changedMs;
  return found.device !== undefined && isCopy ? found.device : file.device;
}

const notThere: FileIdentity = { device: undefined, sizeBytes: 0, key: '', changedMs: NaN };

function identify(path: string): FileIdentity {
  try {
    const { dev, ino, birthtimeNs, size, blocks, ctimeMs } = statSync(path, { bigint: true });
    const key = [dev, ino, birthtimeNs, size, blocks].join(':');
    return { device: majorMinor(dev), sizeBytes: Number(size), key, changedMs: Number(ctimeMs) };
  } catch (error) {
    // Whatever is wrong with one file is no reason to do without the others.
    if (systemErrorCode(error) !== undefined) return notThere;
    throw error;
  }
}

/** The kernel may fill a block this long after the write that it is for. */
const writebackMs = 60_000;

interface KnownExtents {
  readonly found: FileExtents | NoPlace;
  readonly changedMs: number;
  readonly readAtMs: number;
}

/**
 * Remembers where files lie: starting filefrag in a busy guest is the slowest part of a list. A file whose blocks all are
 * written and its own keeps them while it keeps its size; in others a write fills or moves blocks without a change of size, so
 * they are looked at again after each change. A file that was moved meanwhile (defragmented, say) costs a round trip for each
 * of its pages, no more.
 */
export class ExtentIndex {
  readonly #nowMs: () => number;
  #known = new Map<string, KnownExtents>();

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  /** By path; files that vanished meanwhile are missing. @throws GuestError 'command-failed' */
  async read(files: readonly FileState[], deadline: Deadline): Promise<Map<string, FileExtents | NoPlace>> {
    const unknown = files.filter((file) => !this.#knows(file)).map(({ path }) => path);
    const readAtMs = this.#nowMs();
    const read: ReadonlyMap<string, FileExtents | NoPlace> =
      unknown.length === 0 ? new Map() : await readExtents(unknown, deadline);
    const known = new Map<string, KnownExtents>();
    const byPath = new Map<string, FileExtents | NoPlace>();
    for (const { path, key, changedMs } of files) {
      const found = read.get(path);
      const entry = found === undefined ? this.#known.get(key) : { found, changedMs, readAtMs };
      if (entry === undefined) continue;
      if (entry.found !== notInTime) known.set(key, entry);
      byPath.set(path, entry.found);
    }
    this.#known = known;
    return byPath;
  }

  #knows({ key, changedMs }: FileState): boolean {
    const known = this.#known.get(key);
    if (known === undefined) return false;
    if ('isSettled' in known.found && known.found.isSettled) return true;
    return known.changedMs === changedMs && known.readAtMs - changedMs > writebackMs;
  }
}
