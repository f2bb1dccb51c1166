/**
 * Reads guest memory while the VM runs: from the file behind it, or from QEMU's address space. Reads are synchronous on
 * purpose: a page must be read and put in its place in the stream with nothing in between (docs/engine.md, Order).
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { pageSizeBytes } from '../pages/page-list.ts';
import { SourceError } from './source-error.ts';

export interface GuestRam {
  /** Reads `count` pages from `page` on. @throws SourceError 'guest-ram' */
  read(page: number, count: number, into: Buffer, offset: number): void;
  close(): void;
}

/** Where guest memory is. */
export type GuestRamPlace =
  /** `-object memory-backend-file,share=on,mem-path=PATH`. */
  | { readonly kind: 'file'; readonly path: string }
  /** Process id of QEMU: whatever backend it has, private or shared, is in its address space. */
  | { readonly kind: 'pid'; readonly pid: number };

/** Reads `file:PATH` or `pid:NUMBER`. @throws SourceError 'guest-ram' */
export function parseGuestRamPlace(text: string): GuestRamPlace {
  if (text.startsWith('file:')) return { kind: 'file', path: text.slice('file:'.length) };
  const pid = /^pid:(\d+)$/.exec(text)?.[1];
  if (pid === undefined) throw new SourceError('guest-ram', `"${text}" is neither file:PATH nor pid:NUMBER`);
  return { kind: 'pid', pid: Number(pid) };
}

/**
 * Opens the memory of a RAM block of `lengthBytes`.
 *
 * @throws SourceError 'guest-ram'
 */
export function openGuestRam(place: GuestRamPlace, lengthBytes: number): GuestRam {
  if (place.kind === 'file') return openAt(place.path, 0, lengthBytes);
  return openAt(`/proc/${place.pid}/mem`, findMapping(place.pid, lengthBytes), undefined);
}

function openAt(path: string, startBytes: number, expectedBytes: number | undefined): GuestRam {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw new SourceError('guest-ram', `cannot open guest memory at ${path}`, cause);
  }
  const sizeBytes = fstatSync(fd).size;
  if (expectedBytes !== undefined && sizeBytes < expectedBytes) {
    closeSync(fd);
    throw new SourceError('guest-ram', `${path} has ${sizeBytes} bytes, the RAM block has ${expectedBytes}`);
  }
  return {
    read: (page, count, into, offset) => {
      let done = 0;
      const bytes = count * pageSizeBytes;
      while (done < bytes) {
        let part: number;
        try {
          part = readSync(fd, into, offset + done, bytes - done, startBytes + page * pageSizeBytes + done);
        } catch (cause) {
          throw new SourceError('guest-ram', `cannot read guest memory at ${path}`, cause);
        }
        if (part === 0) throw new SourceError('guest-ram', `guest memory at ${path} ends at page ${page}`);
        done += part;
      }
    },
    close: () => {
      closeSync(fd);
    },
  };
}

/** Start of QEMU's mapping of the RAM block. QEMU maps each block of its own, guard pages around it. */
function findMapping(pid: number, lengthBytes: number): number {
  let maps: string;
  try {
    maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  } catch (cause) {
    throw new SourceError('guest-ram', `cannot look into process ${pid}`, cause);
  }
  const starts = maps.split('\n').flatMap((line) => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
    if (match === null) return [];
    const start = parseInt(match[1] ?? '', 16);
    return parseInt(match[2] ?? '', 16) - start === lengthBytes ? [start] : [];
  });
  const [start] = starts;
  if (start === undefined || starts.length > 1) {
    throw new SourceError(
      'guest-ram',
      `process ${pid} has ${starts.length} mappings of the RAM block's size`,
    );
  }
  return start;
}
