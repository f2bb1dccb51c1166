/** From the kernel's address of a file's page cache to the file's path, by its inode and the names that lead to it. */
import { statSync } from 'node:fs';
import type { LeftOutReason } from '../../../engine/list/left-out.ts';
import { majorMinor } from '../block-device.ts';
import { systemErrorCode } from '../guest-error.ts';
import { type Mount, pathsBelow } from '../mounts.ts';
import type { KernelMemory } from './kernel-memory.ts';
import type { KernelTypes } from './kernel-types.ts';

const pointerBytes = 8;
const maxNameBytes = 255;
const maxDepth = 64;
const fileKindMask = 0o170_000;
const regularFile = 0o100_000;
/** Of the kernel's device number, which is not stat's. */
const minorBits = 20;

/** A file as the kernel has it. */
interface KernelFile {
  /** "254:1" */
  readonly device: string;
  readonly inode: bigint;
  /** Address of its first name. */
  readonly name: bigint;
}

type FilePath = { readonly path: string } | { readonly path?: never; readonly leftOut: LeftOutReason };

export class CachedFiles {
  readonly #memory: KernelMemory;
  readonly #at: FileLayout;
  readonly #devices = new Map<bigint, string>();
  /** Path of a folder in its file system, by the address of its name. */
  readonly #folders = new Map<bigint, string | undefined>();

  constructor(memory: KernelMemory, layout: FileLayout) {
    this.#memory = memory;
    this.#at = layout;
  }

  /**
   * A path that leads to the file of the mapping, or why there is none. Files on what has no block device of its own are not
   * looked at: a server, or a user's program (FUSE), would have to answer.
   *
   * @param mounts of the system's own root
   * @param root "/proc/1/root", which goes before the path
   */
  pathOf(mapping: bigint, mounts: readonly Mount[], root: string): FilePath {
    const file = this.#fileOf(mapping);
    if (file?.device.startsWith('0:') === true) return { leftOut: 'no-block-device' };
    const below = file === undefined ? undefined : this.#pathFromRoot(file.name, 0);
    if (file === undefined || below === undefined) return { leftOut: 'no-path' };
    const path = pathsBelow(mounts, file.device, below)
      .map((seenAt) => root + seenAt)
      .find((seenAt) => isFile(seenAt, file));
    return path === undefined ? { leftOut: 'no-path' } : { path };
  }

  #fileOf(mapping: bigint): KernelFile | undefined {
    const at = this.#at;
    const host = this.#pointer(mapping + BigInt(at.host));
    const inode = host === undefined ? undefined : this.#read(host, at.inodeBytes);
    if (inode === undefined) return undefined;
    if ((inode.readUInt16LE(at.mode) & fileKindMask) !== regularFile) return undefined;
    if (inode.readBigUInt64LE(at.inodeMapping) !== mapping) return undefined;
    const device = this.#deviceOf(inode.readBigUInt64LE(at.superBlock));
    const firstName = inode.readBigUInt64LE(at.names);
    if (device === undefined || firstName === 0n) return undefined;
    return { device, inode: inode.readBigUInt64LE(at.inodeNumber), name: firstName - BigInt(at.nameOfInode) };
  }

  #deviceOf(superBlock: bigint): string | undefined {
    const known = this.#devices.get(superBlock);
    if (known !== undefined) return known;
    const number = this.#read(superBlock + BigInt(this.#at.device), 4)?.readUInt32LE(0);
    if (number === undefined) return undefined;
    const device = `${number >>> minorBits}:${number & ((1 << minorBits) - 1)}`;
    this.#devices.set(superBlock, device);
    return device;
  }

  /** Of a name, "/var/lib/x" from the file system's root on, which is its own parent. */
  #pathFromRoot(name: bigint, depth: number): string | undefined {
    if (depth > maxDepth) return undefined;
    const at = this.#at;
    const entry = this.#read(name, at.nameBytes);
    if (entry === undefined) return undefined;
    const parent = entry.readBigUInt64LE(at.parent);
    if (parent === name) return '';
    const text = this.#read(
      entry.readBigUInt64LE(at.text),
      Math.min(entry.readUInt32LE(at.textBytes), maxNameBytes),
    )?.toString('utf8');
    if (text === undefined || text === '') return undefined;
    let folder = this.#folders.get(parent);
    if (folder === undefined && !this.#folders.has(parent)) {
      folder = this.#pathFromRoot(parent, depth + 1);
      this.#folders.set(parent, folder);
    }
    return folder === undefined ? undefined : `${folder}/${text}`;
  }

  #pointer(address: bigint): bigint | undefined {
    return this.#read(address, pointerBytes)?.readBigUInt64LE(0);
  }

  #read(address: bigint, bytes: number): Buffer | undefined {
    const into = Buffer.alloc(bytes);
    return this.#memory.read(address, into) === bytes ? into : undefined;
  }
}

export type FileLayout = ReturnType<typeof fileLayoutIn>;

/** @throws GuestError 'unknown-layout' */
export function fileLayoutIn(types: KernelTypes) {
  const inode = {
    mode: types.offsetOf('inode', 'i_mode'),
    superBlock: types.offsetOf('inode', 'i_sb'),
    inodeMapping: types.offsetOf('inode', 'i_mapping'),
    inodeNumber: types.offsetOf('inode', 'i_ino'),
    names: types.offsetOf('inode', 'i_dentry.first'),
  };
  const name = {
    parent: types.offsetOf('dentry', 'd_parent'),
    text: types.offsetOf('dentry', 'd_name.name'),
    textBytes: types.offsetOf('dentry', 'd_name.len'),
  };
  return {
    ...inode,
    ...name,
    inodeBytes: Math.max(...Object.values(inode)) + pointerBytes,
    nameBytes: Math.max(...Object.values(name)) + pointerBytes,
    host: types.offsetOf('address_space', 'host'),
    device: types.offsetOf('super_block', 's_dev'),
    /** Where in a name the list of its inode's names hangs. */
    nameOfInode: types.offsetOf('dentry', 'd_u.d_alias'),
  };
}

function isFile(path: string, { device, inode }: KernelFile): boolean {
  try {
    const found = statSync(path, { bigint: true });
    return found.ino === inode && majorMinor(found.dev) === device;
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return false;
    throw error;
  }
}
