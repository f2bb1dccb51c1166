/** Where files lie on storage that the host can reach. */
import { statSync } from 'node:fs';
import { pageSizeBytes } from '../../engine/list/page-list.ts';
import type { LeftOutReason } from '../../engine/list/left-out.ts';
import type { Deadline } from './deadline.ts';
import { type DevicePlace, Disks, majorMinor, type NoPlace } from './block-device.ts';
import { type Extent, type FileExtents, notRead, readExtents } from './file-extents.ts';
import { systemErrorCode } from './guest-error.ts';
import {
  parseMounts,
  parseNetworkMounts,
  parseOverlayMounts,
  parseRealtimeDevices,
  placeInUpper,
  placeOnNetwork,
} from './mounts.ts';
import { readProc } from './safe-files.ts';

export interface FileLocation {
  /** The device, or the file itself on NFS. */
  readonly place: DevicePlace;
  /** Blocks of the file on it. */
  readonly extents: readonly Extent[];
  /** Why a page of the file lies in none of them. */
  readonly otherwise: LeftOutReason;
}

/**
 * Locates files as process `pid` sees them, by their paths below /proc/PID/root. Those that lie where no block can be named
 * have the reason.
 *
 * @param deadline what is not looked at by then has no place
 * @param isAsked files whose place is of no interest are said to be gone
 * @throws GuestError 'too-large', 'command-failed'
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
  const mounts = parseMounts(mountinfo);
  const networks = parseNetworkMounts(mountinfo);
  const overlays = parseOverlayMounts(mountinfo);
  // The upper folder of a container's overlay is on a mount of the system's, which the container does not see.
  const ofSystem = overlays.length === 0 ? '' : readProc('/proc/self/mountinfo');
  const realtime = parseRealtimeDevices(`${mountinfo}\n${ofSystem}`);
  const disks = new Disks();
  const locations = new Array<FileLocation | NoPlace>(paths.length).fill(gone);
  const files: LookedAtFile[] = [];
  for (const [index, path] of paths.entries()) {
    if (!isAsked(index)) continue;
    if (deadline.remainingMs === 0) {
      locations[index] = notRead;
      continue;
    }
    const file = identify(path);
    if (file === undefined) continue;
    const upper =
      overlays.length === 0
        ? undefined
        : placeInUpper(overlays, mounts, file.device, path.slice(root.length));
    files.push({
      index,
      path,
      ...file,
      device: upper === undefined ? file.device : deviceBelow(upper, file),
    });
  }
  const devices = new Set(files.map(({ device }) => device));
  const onDevices = new Map<string, DevicePlace | NoPlace>();
  for (const device of devices) {
    if (deadline.remainingMs === 0) onDevices.set(device, notRead);
    else if (realtime.has(device)) onDevices.set(device, { leftOut: 'realtime-device' });
    else onDevices.set(device, await disks.find(device));
  }
  const onDisk: LookedAtFile[] = [];
  for (const file of files) {
    const network = placeOnNetwork(networks, mounts, file.device, file.path.slice(root.length));
    const place = onDevices.get(file.device) ?? gone;
    if (network !== undefined) {
      const count = Math.floor(file.sizeBytes / pageSizeBytes);
      const extents = [{ logicalBlock: 0, physicalBlock: 0, count }];
      const fileItself = { source: { kind: 'file', ...network }, firstBlock: 0 } as const;
      locations[file.index] = { place: fileItself, extents, otherwise: 'unwritten' };
    } else if ('leftOut' in place) locations[file.index] = place;
    else onDisk.push(file);
  }
  const extents = await extentIndex.read(onDisk, deadline);
  for (const { index, path, device } of onDisk) {
    const place = onDevices.get(device) ?? gone;
    const found = extents.get(path) ?? gone;
    if ('leftOut' in place || 'leftOut' in found) {
      if ('leftOut' in found) locations[index] = found;
      continue;
    }
    const otherwise = found.hasUnaligned ? 'unaligned' : 'unwritten';
    locations[index] = { place, extents: found.extents, otherwise };
  }
  return locations;
}

const gone: NoPlace = { leftOut: 'gone' };

/** A file as it is now. */
interface FileState {
  readonly path: string;
  /** The file, and how much of it is allocated. */
  readonly key: string;
  /** When it was last written to, or its inode changed. */
  readonly changedMs: number;
}

interface FileIdentity extends Omit<FileState, 'path'> {
  readonly device: string;
  readonly sizeBytes: number;
}

interface LookedAtFile extends FileIdentity {
  readonly index: number;
  readonly path: string;
}

/**
 * The device of a file's copy in an overlay's upper folder, whose blocks are what FIEMAP tells of the overlay's file; that of the
 * overlay if there is none.
 */
function deviceBelow(upper: string, file: FileIdentity): string {
  const found = identify(upper);
  const isCopy = found?.sizeBytes === file.sizeBytes && found.changedMs === file.changedMs;
  return isCopy ? found.device : file.device;
}

/** Undefined when the file is gone. */
function identify(path: string): FileIdentity | undefined {
  try {
    // Rounded, inode numbers beyond 2^53 still are those of one file, with its size and times beside them.
    const { dev, ino, birthtimeMs, size, blocks, ctimeMs } = statSync(path);
    const key = `${dev}:${ino}:${birthtimeMs}:${size}:${blocks}`;
    return { device: deviceOf(dev), sizeBytes: size, key, changedMs: ctimeMs };
  } catch (error) {
    // Whatever is wrong with one file is no reason to do without the others.
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}

const deviceNames = new Map<number, string>();

/** One text for all files of a device. */
function deviceOf(device: number): string {
  const name = deviceNames.get(device) ?? majorMinor(BigInt(device));
  if (deviceNames.size > 1000) deviceNames.clear();
  deviceNames.set(device, name);
  return name;
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
 * written and its own keeps them while it keeps its size, on a file system that writes in place; in others a write fills or moves
 * blocks without a change of size, so they are looked at again after each change. A file that was moved meanwhile (defragmented, say) costs a round trip for each
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
      if (entry.found !== notRead) known.set(key, entry);
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
