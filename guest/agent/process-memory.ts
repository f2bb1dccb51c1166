/** Memory of a running program, read through /proc without stopping it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { readProc } from './safe-files.ts';

export interface Memory {
  /**
   * Reads from a virtual address on until `into` is full. Gives the number of bytes read, which is less where memory
   * ends in a hole or a guard page, and 0 when the address itself cannot be read.
   */
  read(address: number, into: Uint8Array): number;
}

/** A line of /proc/PID/maps. */
export interface Mapping {
  readonly start: number;
  /** First address after it. */
  readonly end: number;
  /** "rw-p" */
  readonly permissions: string;
  readonly inode: number;
  /** Empty for anonymous memory. */
  readonly path: string;
}

export function parseMaps(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)\s*(.*)$/.exec(line);
    if (match === null) continue;
    const [, start = '', end = '', permissions = '', inode = '', path = ''] = match;
    mappings.push({
      start: parseInt(start, 16),
      end: parseInt(end, 16),
      permissions,
      inode: Number(inode),
      path,
    });
  }
  return mappings;
}

/** @throws GuestError 'not-permitted' without root's rights, 'no-server' when the process is gone, 'too-large' */
export function readMappings(pid: number): Mapping[] {
  return parseMaps(openOrExplain(pid, () => readProc(`/proc/${pid}/maps`)));
}

export class ProcessMemory implements Memory {
  private readonly descriptor: number;

  /** @throws GuestError as readMappings */
  constructor(pid: number) {
    this.descriptor = openOrExplain(pid, () => openSync(`/proc/${pid}/mem`, 'r'));
  }

  read(address: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      let bytes: number;
      try {
        bytes = readSync(this.descriptor, into, done, into.length - done, address + done);
      } catch (error) {
        const code = systemErrorCode(error);
        if (code === 'EIO' || code === 'EFAULT') return done;
        throw error;
      }
      // 0 at once: the process has ended.
      if (bytes === 0) return done;
      done += bytes;
    }
    return done;
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** Runs an access to /proc/PID and says in plain words why it failed. */
export function openOrExplain<Result>(pid: number, access: () => Result): Result {
  try {
    return access();
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (code === 'EACCES' || code === 'EPERM') {
      throw new GuestError(
        'not-permitted',
        `reading the memory of process ${pid} needs root (CAP_SYS_PTRACE)`,
        cause,
      );
    }
    if (code === 'ENOENT' || code === 'ESRCH')
      throw new GuestError('no-server', `process ${pid} has ended`, cause);
    throw cause;
  }
}
