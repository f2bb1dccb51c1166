/** Memory of a running program, read through /proc without stopping it. */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { parseMounts } from './mounts.ts';
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
  /**
   * Of no file; shared memory or huge pages, which the kernel makes a file of its own for; or of any other file, whose file system
   * may be a program of a user (FUSE), which whoever reads the memory would wait for.
   */
  readonly kind: 'anonymous' | 'kernel' | 'file';
  /** Mostly empty for anonymous memory. */
  readonly path: string;
}

/** shmem_zero_setup, hugetlb_file_setup and newseg in the kernel. Their inode may be 0: System V's is the segment's number. */
const kernelFiles = /^\/(dev\/zero|anon_hugepage|SYSV[0-9a-f]{8}) \(deleted\)$/;

/** @param mounted devices of file systems ("0:45"): anybody may call a file as the kernel does */
export function parseMaps(text: string, mounted: ReadonlySet<string>): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ ([0-9a-f]+):([0-9a-f]+) (\d+)\s*(.*)$/.exec(line);
    if (match === null) continue;
    const [, start = '', end = '', permissions = '', major = '', minor = '', inode = '', path = ''] = match;
    const device = `${parseInt(major, 16)}:${parseInt(minor, 16)}`;
    const isKernels = kernelFiles.test(path) && !mounted.has(device);
    mappings.push({
      start: parseInt(start, 16),
      end: parseInt(end, 16),
      permissions,
      kind: device === '0:0' && inode === '0' ? 'anonymous' : isKernels ? 'kernel' : 'file',
      path,
    });
  }
  return mappings;
}

/** Devices of what the process sees mounted, and of all file systems that somebody serves, mounted or not: FUSE, NFS. */
function mountedDevices(pid: number): ReadonlySet<string> {
  const mounted = parseMounts(readProc(`/proc/${pid}/mountinfo`)).map(({ device }) => device);
  return new Set([...mounted, ...servedDevices()]);
}

/** sysfs-class-bdi: "0:45", "0:46-fuseblk". */
function servedDevices(): readonly string[] {
  try {
    return readdirSync('/sys/class/bdi').map((name) => name.replace(/-.*/, ''));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** @throws GuestError 'not-permitted' without root's rights, 'no-server' when the process is gone, 'too-large' */
export function readMappings(pid: number): Mapping[] {
  return openOrExplain(pid, () => parseMaps(readProc(`/proc/${pid}/maps`), mountedDevices(pid)));
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
