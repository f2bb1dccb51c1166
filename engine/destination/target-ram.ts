/** Writes the target's memory: into the file behind it, or into the address space of its QEMU. */
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { CodedError } from '../../foundation/coded-error.ts';
import type { TargetRam, TargetRamSource } from '../core/outside.ts';
import { type Mapping, mappingsOf } from '../core/qemu-mappings.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { findListener } from './target-process.ts';

/** Where the target's memory is. */
export type TargetRamPlace =
  /** The process that listens on the incoming socket has it. */
  | { readonly kind: 'auto' }
  /** `-object memory-backend-file,share=on,mem-path=PATH`. */
  | { readonly kind: 'file'; readonly path: string }
  /** Process id of the target QEMU. */
  | { readonly kind: 'pid'; readonly pid: number }
  /** All pages go into its stream. */
  | { readonly kind: 'none' };

/** @throws CodedError 'destination', 'target-ram' */
export function parseTargetRamPlace(text: string): TargetRamPlace {
  if (text === 'auto' || text === 'none') return { kind: text };
  if (text.startsWith('file:')) return { kind: 'file', path: text.slice('file:'.length) };
  const pid = /^pid:(\d+)$/.exec(text)?.[1];
  if (pid === undefined) throw unusable(`"${text}" is none of auto, none, file:PATH and pid:NUMBER`);
  return { kind: 'pid', pid: Number(pid) };
}

/** Linux, include/uapi/linux/magic.h: write(2) does not work there. */
const hugetlbfsMagic = 0x958458f6;

/**
 * Opens the target's memory. From then on it can be written whatever becomes of the rights of this process.
 *
 * @param incomingPath unix socket on which the target listens
 * @throws CodedError 'destination', 'target-ram'
 */
export function openTargetRam(
  place: Exclude<TargetRamPlace, { kind: 'none' }>,
  incomingPath: string,
): TargetRamSource {
  switch (place.kind) {
    case 'file':
      return openFile(place.path);
    case 'pid':
      return openProcess(place.pid);
    case 'auto': {
      const listener = findListener(incomingPath);
      if (listener === undefined)
        throw unusable(`the process behind ${incomingPath} cannot be seen from here`);
      return openProcess(listener.pid);
    }
  }
}

function openFile(path: string): TargetRamSource {
  const fd = open(path, path);
  return {
    block: (lengthBytes) => {
      const sizeBytes = fstatSync(fd).size;
      if (sizeBytes < lengthBytes)
        throw unusable(`${path} has ${sizeBytes} bytes, the RAM block has ${lengthBytes}`);
      if (statfsSync(`/proc/self/fd/${fd}`).type === hugetlbfsMagic)
        throw unusable(`${path} is of hugetlbfs, which cannot be written: give pid:NUMBER`);
      return ramOf(fd, 0, 'file');
    },
    close: () => {
      closeSync(fd);
    },
  };
}

function openProcess(pid: number): TargetRamSource {
  const memory = open(`/proc/${pid}/mem`, `process ${pid}`);
  // The kernel asks for the right to look into the process when a file is opened, and not when it is used.
  const maps = open(`/proc/${pid}/maps`, `process ${pid}`, 'r');
  const opened = [memory, maps];
  return {
    block: (lengthBytes) => {
      const mappings = mappingsOf(readFileSync(maps, 'utf8'), lengthBytes);
      const [mapping] = mappings;
      if (mapping === undefined || mappings.length > 1)
        throw unusable(`process ${pid} has ${mappings.length} mappings of the RAM block's size`);
      const file = fileBehind(pid, mapping);
      if (file === undefined) return ramOf(memory, mapping.startBytes, 'process');
      opened.push(file);
      return ramOf(file, mapping.fileOffsetBytes, 'file');
    },
    close: () => {
      for (const fd of opened.splice(0)) closeSync(fd);
    },
  };
}

/** The file behind a shared mapping, which QEMU keeps open, named or not; undefined if it cannot be opened and written here. */
function fileBehind(pid: number, { isShared, inode, device }: Mapping): number | undefined {
  if (!isShared || inode === 0) return undefined;
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      const path = `/proc/${pid}/fd/${name}`;
      const file = statSync(path, { throwIfNoEntry: false });
      if (file?.isFile() !== true || file.ino !== inode || deviceOf(file.dev) !== device) continue;
      return statfsSync(path).type === hugetlbfsMagic ? undefined : openSync(path, 'r+');
    }
  } catch {
    // There is its address space.
  }
  return undefined;
}

/** As /proc/PID/maps writes it (makedev(3), glibc). */
function deviceOf(dev: number): string {
  const number = BigInt(dev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffffff00n);
  return [major, minor].map((part) => part.toString(16).padStart(2, '0')).join(':');
}

function ramOf(fd: number, startBytes: number, how: TargetRam['how']): TargetRam {
  /** All of `count` pages, in as many calls as it takes. */
  const all = (
    page: number,
    count: number,
    some: (done: number, bytes: number, at: number) => number,
  ): void => {
    const bytes = count * pageSizeBytes;
    const at = startBytes + page * pageSizeBytes;
    for (let done = 0; done < bytes;) {
      let part: number;
      try {
        part = some(done, bytes - done, at + done);
      } catch (cause) {
        const why = (cause as Error).message;
        throw new CodedError(
          'destination',
          'target-failed',
          `the target's memory cannot be written: ${why}`,
          {
            cause,
          },
        );
      }
      if (part === 0) throw new CodedError('destination', 'target-failed', "the target's memory is gone");
      done += part;
    }
  };
  return {
    how,
    read: (page, count, into, offset) => {
      all(page, count, (done, bytes, at) => readSync(fd, into, offset + done, bytes, at));
    },
    write: (page, count, from, offset) => {
      all(page, count, (done, bytes, at) => writeSync(fd, from, offset + done, bytes, at));
    },
  };
}

function open(path: string, what: string, flags = 'r+'): number {
  try {
    return openSync(path, flags);
  } catch (cause) {
    throw unusable(`cannot open the target's memory, ${what}: ${(cause as Error).message}`, cause);
  }
}

function unusable(why: string, cause?: unknown): CodedError<'destination'> {
  return new CodedError('destination', 'target-ram', why, { cause });
}
