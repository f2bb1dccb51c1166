/** Reads guest memory while the VM runs: from the file behind it, or from QEMU's address space. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { CodedError } from '../../foundation/coded-error.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { GuestRam, GuestRamSource } from '../core/outside.ts';
import { mappingsOf } from '../core/qemu-mappings.ts';

/** Where guest memory is. */
export type GuestRamPlace =
  /** `-object memory-backend-file,share=on,mem-path=PATH`. */
  | { readonly kind: 'file'; readonly path: string }
  /** Process id of QEMU: whatever backend it has, private or shared, is in its address space. */
  | { readonly kind: 'pid'; readonly pid: number };

/** Reads `file:PATH` or `pid:NUMBER`. @throws CodedError 'source', 'guest-ram' */
export function parseGuestRamPlace(text: string): GuestRamPlace {
  if (text.startsWith('file:')) return { kind: 'file', path: text.slice('file:'.length) };
  const pid = /^pid:(\d+)$/.exec(text)?.[1];
  if (pid === undefined)
    throw new CodedError('source', 'guest-ram', `"${text}" is neither file:PATH nor pid:NUMBER`);
  return { kind: 'pid', pid: Number(pid) };
}

export interface OpenGuestRam extends GuestRamSource {
  /** Whether users who are not QEMU's and not root may read the guest's memory. */
  readonly readableByOthers: boolean;
}

/**
 * Opens guest memory. From then on it can be read whatever becomes of the rights of this process, or of the file's name.
 *
 * @throws CodedError 'source', 'guest-ram'
 */
export function openGuestRam(place: GuestRamPlace): OpenGuestRam {
  return place.kind === 'file' ? openFile(place.path) : openProcess(place.pid);
}

function openFile(path: string): OpenGuestRam {
  const fd = open(path, path);
  const { mode, nlink } = fstatSync(fd);
  return {
    // A memfd, or a file without a name, is only reached through its process.
    readableByOthers: nlink > 0 && (mode & 0o044) !== 0,
    block: (lengthBytes) => {
      const sizeBytes = fstatSync(fd).size;
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

function openProcess(pid: number): OpenGuestRam {
  const path = `/proc/${pid}/mem`;
  const fd = open(path, `process ${pid}`);
  // The kernel asks for the right to look into the process when the file is opened, and not when it is read.
  const maps = open(`/proc/${pid}/maps`, `process ${pid}`);
  return {
    readableByOthers: false,
    block: (lengthBytes) => readerOf(fd, path, findMapping(pid, readFileSync(maps, 'utf8'), lengthBytes)),
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
