/** From a file's device number to the VM's disk and the place of the partition on it, through sysfs. */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from './guest-error.ts';

export interface DiskPlace {
  /** Serial number where the disk has one, else its name ("vda"). */
  readonly disk: string;
  /** Where the file system's device begins on the disk; 0 for a whole disk. */
  readonly startBytes: number;
}

const sectorBytes = 512;

/** Splits the kernel's device number as stat gives it. */
export function majorMinor(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/**
 * Finds the disk behind a device number ("254:1"). Undefined where there is none: network and pseudo file systems, and
 * devices that remap blocks (LVM, RAID, encryption, loop), which have no hardware device of their own.
 */
export function findDisk(device: string, sysRoot = '/sys'): DiskPlace | undefined {
  const link = join(sysRoot, 'dev/block', device);
  if (!existsSync(link)) return undefined;
  const folder = realpathSync(link);
  const isPartition = existsSync(join(folder, 'partition'));
  const disk = isPartition ? dirname(folder) : folder;
  if (!existsSync(join(disk, 'device'))) return undefined;
  const startSectors = isPartition ? Number(readText(join(folder, 'start'))) : 0;
  const serial = readText(join(disk, 'serial')) ?? readText(join(disk, 'device/serial'));
  return {
    disk: serial === undefined || serial === '' ? basename(disk) : serial,
    startBytes: startSectors * sectorBytes,
  };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}
