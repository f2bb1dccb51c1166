/** Where files lie on storage that the host can reach. */
import { stat } from 'node:fs/promises';
import { pageSizeBytes, type PageSource } from '../../engine/list/page-list.ts';
import { findDisk, majorMinor } from './block-device.ts';
import { readExtents, type Extent } from './file-extents.ts';
import { systemErrorCode } from './guest-error.ts';
import { parseNetworkMounts, placeOnNetwork } from './mounts.ts';
import { readProc } from './safe-files.ts';

export interface FileLocation {
  readonly source: PageSource;
  /** Blocks of the file on the source, which for a disk counts from the disk's start. */
  readonly extents: readonly Extent[];
}

/**
 * Locates files as process `pid` sees them, by their paths below /proc/PID/root. Undefined for files that are gone, or
 * lie where no block can be named.
 */
export async function locateFiles(
  pid: number,
  paths: readonly string[],
  extentIndex: ExtentIndex,
): Promise<(FileLocation | undefined)[]> {
  const root = `/proc/${pid}/root`;
  const mounts = parseNetworkMounts(readProc(`/proc/${pid}/mountinfo`));
  const files = await Promise.all(paths.map(async (path) => ({ path, ...(await identify(path)) })));
  const onDisk = files.filter(({ device }) => device !== undefined && findDisk(device) !== undefined);
  const extents = await extentIndex.read(onDisk);
  return files.map(({ path, device, sizeBytes }): FileLocation | undefined => {
    if (device === undefined) return undefined;
    const network = placeOnNetwork(mounts, device, path.slice(root.length));
    if (network !== undefined) {
      const count = Math.floor(sizeBytes / pageSizeBytes);
      return {
        source: { kind: 'file', ...network },
        extents: [{ logicalBlock: 0, physicalBlock: 0, count }],
      };
    }
    const place = findDisk(device);
    const fileExtents = extents.get(path);
    // A partition that does not begin at a multiple of 4096 has no block in common with the list's unit.
    if (place === undefined || fileExtents === undefined || place.startBytes % pageSizeBytes !== 0)
      return undefined;
    const startBlock = place.startBytes / pageSizeBytes;
    return {
      source: { kind: 'disk', disk: place.disk },
      extents: fileExtents.map((extent) => ({
        ...extent,
        physicalBlock: startBlock + extent.physicalBlock,
      })),
    };
  });
}

interface FileIdentity {
  /** Undefined when the file is gone. */
  readonly device: string | undefined;
  readonly sizeBytes: number;
  /** The file, and how much of it is allocated: what moves a file's blocks without changing it is rare. */
  readonly key: string;
}

async function identify(path: string): Promise<FileIdentity> {
  try {
    const { dev, ino, birthtimeNs, size, blocks } = await stat(path, { bigint: true });
    const key = [dev, ino, birthtimeNs, size, blocks].join(':');
    return { device: majorMinor(dev), sizeBytes: Number(size), key };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { device: undefined, sizeBytes: 0, key: '' };
    throw error;
  }
}

/**
 * Remembers where files lie, for as long as they keep their size: starting filefrag in a busy guest is the slowest part
 * of a list. A file that was moved meanwhile (defragmented, say) costs a round trip for each of its pages, no more.
 */
export class ExtentIndex {
  #known = new Map<string, readonly Extent[]>();

  /** Extents by path; files that vanished meanwhile are missing. @throws GuestError 'command-failed' */
  async read(
    files: readonly { readonly path: string; readonly key: string }[],
  ): Promise<Map<string, readonly Extent[]>> {
    const unknown = files.filter(({ key }) => !this.#known.has(key)).map(({ path }) => path);
    const found = unknown.length === 0 ? new Map<string, Extent[]>() : await readExtents(unknown);
    const known = new Map<string, readonly Extent[]>();
    const byPath = new Map<string, readonly Extent[]>();
    for (const { path, key } of files) {
      const extents = this.#known.get(key) ?? found.get(path);
      if (extents === undefined) continue;
      known.set(key, extents);
      byPath.set(path, extents);
    }
    this.#known = known;
    return byPath;
  }
}
