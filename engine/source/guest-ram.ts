/** Reads guest memory while the VM runs: from the file behind it, or from QEMU's address space. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { CodedError } from '../../foundation/coded-error.ts';
import { userOf } from '../../foundation/process-identity.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { GuestRam, GuestRamSource } from '../core/outside.ts';
import { mappingsOf } from '../core/qemu-mappings.ts';
import { addressOf, framesOf } from './memory-map.ts';

/** Where guest memory is. */
export type GuestRamPlace =
  /**
   * `-object memory-backend-file,share=on,mem-path=PATH`; `block` is the backend's id. Without it the file is the largest RAM
   * block, or one of the file's size.
   */
  | { readonly kind: 'file'; readonly path: string; readonly block?: string }
  /** Process id of QEMU: whatever backends it has, private or shared, are in its address space. */
  | { readonly kind: 'pid'; readonly pid: number };

/** Reads `[BLOCK=]file:PATH` or `pid:NUMBER`. @throws CodedError 'source', 'guest-ram' */
export function parseGuestRamPlace(text: string): GuestRamPlace {
  const [, block, path] = /^(?:([^=:]+)=)?file:(.+)$/s.exec(text) ?? [];
  if (path !== undefined) return { kind: 'file', path, ...(block === undefined ? {} : { block }) };
  const pid = /^pid:(\d+)$/.exec(text)?.[1];
  if (pid === undefined)
    throw new CodedError('source', 'guest-ram', `"${text}" is neither [BLOCK=]file:PATH nor pid:NUMBER`);
  return { kind: 'pid', pid: Number(pid) };
}

export interface OpenGuestRam extends GuestRamSource {
  /** Files with the guest's memory that users who are not QEMU's and not root may read. */
  readonly readableByOthers: readonly string[];
  /** Who owns the files that were opened, or has the processes, each once. */
  readonly owners: readonly number[];
}

/**
 * Opens guest memory. From then on it can be read whatever becomes of the rights of this process, or of a file's name.
 *
 * @param places one process, or files of different blocks
 * @param mapText gives what QEMU's monitor says (engine/source/memory-map.ts); asked for when QEMU begins to send, since memory can be
 *   plugged in until then
 * @throws CodedError 'source', 'guest-ram'
 */
export function openGuestRam(
  places: readonly GuestRamPlace[],
  mapText: () => string | undefined = () => undefined,
): OpenGuestRam {
  const opened = places.map((place) =>
    place.kind === 'file' ? openFile(place) : openProcess(place.pid, mapText),
  );
  return {
    readableByOthers: opened.flatMap(({ readableByOthers }) => readableByOthers),
    owners: [...new Set(opened.flatMap(({ owners }) => owners))],
    block: (block, blocks) => {
      const errors: unknown[] = [];
      // A file without a name may be of a block of its size: not of one that another is named for.
      const named = opened.filter(({ of }) => of === block.name);
      for (const place of named.length > 0 ? named : opened) {
        try {
          const ram = place.block(block, blocks);
          if (ram !== undefined) return ram;
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw errors[0];
      throw new CodedError('source', 'guest-ram', 'no --ram is given for it');
    },
    map: (blocks) => {
      const text = mapText();
      return text === undefined ? undefined : framesOf(text, blocks);
    },
    close: () => {
      for (const source of opened) source.close();
    },
  };
}

/** @throws CodedError 'source', 'memory-map' */
export function readMemoryMap(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CodedError('source', 'memory-map', `cannot read the memory map ${path}: ${why}`, { cause });
  }
}

interface OpenPlace extends Omit<OpenGuestRam, 'block'> {
  /** The block that it is named for. */
  readonly of?: string | undefined;
  /** Undefined where the place is another block's. @throws CodedError 'source' */
  block(...of: Parameters<OpenGuestRam['block']>): GuestRam | undefined;
}

function openFile(place: GuestRamPlace & { readonly kind: 'file' }): OpenPlace {
  const { path } = place;
  const fd = open(path, path);
  const { mode, nlink, uid } = fstatSync(fd);
  return {
    owners: [uid],
    of: place.block,
    // A memfd, or a file without a name, is only reached through its process.
    readableByOthers: nlink > 0 && (mode & 0o044) !== 0 ? [path] : [],
    block: ({ name, lengthBytes }, blocks) => {
      const sizeBytes = fstatSync(fd).size;
      const isLargest = blocks.every((other) => other.lengthBytes <= lengthBytes);
      if (place.block === undefined ? !isLargest && sizeBytes !== lengthBytes : name !== place.block)
        return undefined;
      if (sizeBytes < lengthBytes) {
        throw new CodedError(
          'source',
          'guest-ram',
          `${path} has ${sizeBytes} bytes, the RAM block has ${lengthBytes}`,
        );
      }
      return readerOf(fd, path, 0);
    },
    close: () => {
      closeSync(fd);
    },
  };
}

function openProcess(pid: number, mapText: () => string | undefined): OpenPlace {
  const path = `/proc/${pid}/mem`;
  const fd = open(path, `process ${pid}`);
  // The kernel asks for the right to look into the process when the file is opened, and not when it is read.
  const maps = open(`/proc/${pid}/maps`, `process ${pid}`);
  // A descriptor is read from where it stands, so that only the first read has anything; all blocks are asked for in one moment.
  let mapsText: string | undefined;
  return {
    readableByOthers: [],
    owners: [userOf(pid)],
    block: (block) => {
      mapsText ??= readFileSync(maps, 'utf8');
      const mappings = mapsText;
      const told = addressOf(mapText() ?? '', block);
      if (told !== undefined && !isMapped(mappings, told, block.lengthBytes)) {
        const what = `the memory map places it where process ${pid} has no memory`;
        throw new CodedError('source', 'memory-map', what);
      }
      return readerOf(fd, path, told ?? findMapping(pid, mappings, block.lengthBytes));
    },
    close: () => {
      closeSync(fd);
      closeSync(maps);
    },
  };
}

function open(path: string, what: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new CodedError(
      'source',
      'guest-ram',
      `cannot open guest memory, ${what}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function readerOf(fd: number, path: string, startBytes: number): GuestRam {
  return {
    read: (page, count, into, offset) => {
      let done = 0;
      const bytes = count * pageSizeBytes;
      while (done < bytes) {
        let part: number;
        try {
          part = readSync(fd, into, offset + done, bytes - done, startBytes + page * pageSizeBytes + done);
        } catch (cause) {
          throw new CodedError('source', 'guest-ram', `cannot read guest memory at ${path}`, { cause });
        }
        if (part === 0)
          throw new CodedError('source', 'guest-ram', `guest memory at ${path} ends at page ${page}`);
        done += part;
      }
    },
  };
}

/** Whether the process has all of it. */
function isMapped(maps: string, start: number, lengthBytes: number): boolean {
  let next = start;
  for (const [, from = '', to = ''] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm))
    if (parseInt(from, 16) <= next && next < parseInt(to, 16)) next = parseInt(to, 16);
  return next >= start + lengthBytes;
}

/** Start of QEMU's mapping of the RAM block. */
function findMapping(pid: number, maps: string, lengthBytes: number): number {
  const mappings = mappingsOf(maps, lengthBytes);
  const [mapping] = mappings;
  if (mapping === undefined || mappings.length > 1) {
    throw new CodedError(
      'source',
      'guest-ram',
      `process ${pid} has ${mappings.length} mappings of the RAM block's size`,
    );
  }
  return mapping.startBytes;
}
