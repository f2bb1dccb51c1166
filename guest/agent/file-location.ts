/** Where files lie on storage that the host can reach. */
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pageSizeBytes, type PageSource } from '../../engine/pages/page-list.ts';
import { findDisk, majorMinor } from './block-device.ts';
import { readExtents, type Extent } from './file-extents.ts';
import { systemErrorCode } from './guest-error.ts';
import { parseNetworkMounts, placeOnNetwork } from './mounts.ts';

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
): Promise<(FileLocation | undefined)[]> {
  const root = `/proc/${pid}/root`;
  const mounts = parseNetworkMounts(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
  const files = await Promise.all(paths.map(async (path) => ({ path, ...(await deviceAndSize(path)) })));
  const onDisk = files.filter(({ device }) => device !== undefined && findDisk(device) !== undefined);
  const extents = await readExtents(onDisk.map(({ path }) => path));
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

async function deviceAndSize(path: string): Promise<{ device: string | undefined; sizeBytes: number }> {
  try {
    const { dev, size } = await stat(path, { bigint: true });
    return { device: majorMinor(dev), sizeBytes: Number(size) };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { device: undefined, sizeBytes: 0 };
    throw error;
  }
}
