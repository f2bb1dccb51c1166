/** From a file's device number to the VM's disks and the places of its blocks on them, through sysfs. */
import { existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { LeftOutReason } from '../../engine/list/left-out.ts';
import type { PageSource } from '../../engine/list/page-list.ts';
import { type MappedPiece, readMapping } from './device-mapper.ts';
import { systemErrorCode } from './guest-error.ts';

/** How a device lies on the VM's disks. All numbers in 4096-byte blocks. */
export type DevicePlace = DiskPlace | Volume;

interface DiskPlace {
  /** A disk, by its serial number where it has one of its own, else by its name ("vda"). */
  readonly source: PageSource;
  /** Where the device begins on it. */
  readonly firstBlock: number;
}

/** A device that is made of stretches of others. */
export interface Volume {
  readonly pieces: readonly PlacedPiece[];
}

interface PlacedPiece extends Omit<MappedPiece, 'stripes'> {
  readonly stripes: readonly { readonly place: DevicePlace; readonly firstBlock: number }[];
}

/** All disks that a device lies on. */
export function sourcesOf(place: DevicePlace): readonly PageSource[] {
  return 'source' in place
    ? [place.source]
    : place.pieces.flatMap(({ stripes }) => stripes.flatMap((stripe) => sourcesOf(stripe.place)));
}

/** Why no block of a disk can be named for what lies on a device. */
export interface NoPlace {
  readonly leftOut: LeftOutReason;
}

const sectorBytes = 512;
/** The list counts in these. */
const blockBytes = 4096;
/** Devices of the mapper can stand on each other. */
const maxDepth = 8;

/** Splits the kernel's device number as stat gives it. */
export function majorMinor(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/** The disks of the VM as they are now: make one for each list, as disks come and go. */
export class Disks {
  readonly #sysRoot: string;
  readonly #readMapping: typeof readMapping;
  readonly #places = new Map<string, DevicePlace | NoPlace>();
  #shared: ReadonlySet<string> | undefined;

  /** @param mapping how the device mapper's tables are read */
  constructor(sysRoot = '/sys', mapping = readMapping) {
    this.#sysRoot = sysRoot;
    this.#readMapping = mapping;
  }

  /** @param device "254:1" */
  async find(device: string, depth = 0): Promise<DevicePlace | NoPlace> {
    const known = this.#places.get(device);
    if (known !== undefined) return known;
    const place = await this.#look(device, depth);
    this.#places.set(device, place);
    return place;
  }

  async #look(device: string, depth: number): Promise<DevicePlace | NoPlace> {
    const link = join(this.#sysRoot, 'dev/block', device);
    // btrfs, ZFS, overlay and network file systems have device numbers of their own.
    if (!existsSync(link)) return { leftOut: 'no-block-device' };
    const folder = realpathSync(link);
    const isPartition = existsSync(join(folder, 'partition'));
    const disk = isPartition ? dirname(folder) : folder;
    if (isOverNetwork(disk)) return { leftOut: 'network-disk' };
    if (!existsSync(join(disk, 'device'))) {
      const reason = remapperOf(disk);
      if (isPartition || (reason !== 'lvm' && reason !== 'remapped-device') || depth > maxDepth)
        return { leftOut: reason };
      return this.#lookBelow(device, reason, depth);
    }
    const startBytes = isPartition ? Number(readText(join(folder, 'start'))) * sectorBytes : 0;
    if (startBytes % blockBytes !== 0) return { leftOut: 'unaligned' };
    const serial = serialOf(disk);
    const isOwn = serial !== undefined && !this.#sharedSerials().has(serial);
    const name = isOwn ? serial : basename(disk);
    return { source: { kind: 'disk', disk: name }, firstBlock: startBytes / blockBytes };
  }

  /** Of a device of the mapper: through its table to the devices that it is made of. */
  async #lookBelow(device: string, kind: LeftOutReason, depth: number): Promise<DevicePlace | NoPlace> {
    const mapping = await this.#readMapping(device);
    if (mapping === 'remapped-device') return { leftOut: kind };
    if (typeof mapping === 'string') return { leftOut: mapping };
    const pieces: PlacedPiece[] = [];
    for (const piece of mapping) {
      const stripes: PlacedPiece['stripes'][number][] = [];
      for (const { device: below, firstBlock } of piece.stripes) {
        const place = await this.find(below, depth + 1);
        if ('leftOut' in place) return place;
        stripes.push({ place, firstBlock });
      }
      pieces.push({ ...piece, stripes });
    }
    return { pieces };
  }

  /**
   * Serial numbers that several disks have, as the namespaces of one NVMe controller do, and those that are the name of a disk, which
   * may be one without a serial: none is told by it.
   */
  #sharedSerials(): ReadonlySet<string> {
    if (this.#shared === undefined) {
      const names = namesIn(join(this.#sysRoot, 'block'));
      const seen = new Set<string>();
      const shared = new Set(names);
      for (const name of names) {
        const disk = join(this.#sysRoot, 'block', name);
        // The paths below a disk of NVMe multipath have its serial, and hold no file system (GENHD_FL_HIDDEN).
        if (readText(join(disk, 'hidden')) === '1') continue;
        const serial = serialOf(disk);
        if (serial === undefined) continue;
        if (seen.has(serial)) shared.add(serial);
        seen.add(serial);
      }
      this.#shared = shared;
    }
    return this.#shared;
  }
}

/** virtio-blk and NVMe say it as text, SCSI disks as page 0x80 of their vital product data. */
function serialOf(disk: string): string | undefined {
  for (const file of ['serial', 'device/serial']) {
    const text = readText(join(disk, file));
    if (text !== undefined && text !== '') return text;
  }
  const page = readBytes(join(disk, 'device/vpd_pg80'));
  const text = page?.subarray(4, 4 + (page[3] ?? 0)).toString('utf8');
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}

/**
 * Whether the guest itself reaches a disk over a network, so that it is none of the VM's. The sysfs path shows sessions of iSCSI
 * (scsi_transport_iscsi.c) and remote ports of Fibre Channel (scsi_transport_fc.c); the kernel's names show RBD, NBD, DRBD and
 * ATA over Ethernet; NVMe controllers say their transport (nvme/host/sysfs.c), which is "pcie" for those of the VM. Of a disk with
 * several paths `device` is the subsystem, and its controllers are in it.
 */
function isOverNetwork(disk: string): boolean {
  if (/\/(session\d+|rport-[^/]+)\//.test(disk)) return true;
  if (/^(rbd|nbd|drbd|etherd!)/.test(basename(disk))) return true;
  const controllers = namesIn(join(disk, 'device')).filter((name) => /^nvme\d+$/.test(name));
  return ['', ...controllers].some((name) => {
    const transport = readText(join(disk, 'device', name, 'transport'));
    return transport !== undefined && /^(tcp|rdma|fc|loop)$/.test(transport);
  });
}

/** What puts blocks elsewhere, of a device without hardware of its own: the kernel's name and the mapper's type say it. */
function remapperOf(device: string): LeftOutReason {
  const name = basename(device);
  if (/^md/.test(name)) return 'raid';
  if (/^loop/.test(name)) return 'loop-device';
  const mapper = readText(join(device, 'dm/uuid'));
  if (mapper?.startsWith('LVM-') === true) return 'lvm';
  if (mapper?.startsWith('CRYPT-') === true) return 'encrypted-disk';
  return 'remapped-device';
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return [];
    throw error;
  }
}

function readBytes(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}

const readText = (path: string): string | undefined => readBytes(path)?.toString('utf8').trim();
