/** Settings of the C library's memory allocator, which it takes from the environment only, when a program starts. */

import { accessSync, constants } from 'node:fs';

/**
 * By default glibc takes large blocks from the kernel and soon gives back what is freed (mallopt(3)). Frames, zstd's contexts
 * and the storage daemon's reads are such blocks, whose pages are then faulted in again and again (docs/performance.md has
 * figures). So all but the large tables are kept and used again, up to 64 MiB of them.
 */
const settings = {
  MALLOC_MMAP_THRESHOLD_: String(32 * 1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(64 * 1024 * 1024),
  MALLOC_TOP_PAD_: String(4 * 1024 * 1024),
} as const;

/**
 * Starts this program again in the same process, with these settings, for itself and the storage daemons that it starts.
 * Settings that are there already stay; who may no longer read the program (started by root as somebody else, from root's own
 * folder) does without. Call it before anything is open.
 */
export function restartWithAllocatorSettings(): void {
  if (process.execve === undefined) return;
  if (Object.keys(settings).some((name) => process.env[name] !== undefined)) return;
  if (!canStartAgain()) return;
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, argv, { ...process.env, ...settings });
}

/** A failing execve would end the process. */
function canStartAgain(): boolean {
  try {
    accessSync(process.execPath, constants.X_OK);
    accessSync(process.argv[1] ?? '', constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
