/** How many pages a list of this agent may have, so that it is never ended for the memory that it takes. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { systemErrorCode } from './guest-error.ts';

const mebibyte = 2 ** 20;
/**
 * Of a page of 4 KiB in a list, at the peak, whatever the pages' sizes and places: 36 were measured of the page cache's, and 29 of
 * servers' where no two frames follow each other; 11 of InnoDB's where a page's four do. What says whether it is cold takes one more.
 */
const bytesPerPage = 40;
/** Node, the agent's code, and names and places of many files. */
const ownBytes = 96 * mebibyte;
/** What the agent takes where nobody limits it: a list of all of a guest's memory takes less. */
const usualBytes = 384 * mebibyte;
const shareOfGuest = 1 / 64;

/** 4 KiB pages in all that a list may be made of. @param limitBytes of the agent's memory */
export const pagesWithin = (limitBytes: number): number =>
  Math.max(0, Math.floor((limitBytes - ownBytes) / bytesPerPage));

/**
 * What the agent may take, in bytes: a share of the guest's memory, or less where its control group, or one above it, has less
 * (memory.max and memory.high of cgroup v2, memory.limit_in_bytes of v1: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst).
 *
 * @param cgroup /proc/self/cgroup
 * @param root where control groups are mounted
 */
export function memoryLimitBytes(
  guestBytes = totalmem(),
  cgroup = readText('/proc/self/cgroup') ?? '',
  root = '/sys/fs/cgroup',
): number {
  let limit = Math.max(usualBytes, guestBytes * shareOfGuest);
  for (const [, controllers = '', path = ''] of cgroup.matchAll(/^\d+:([^:]*):(.*)$/gm)) {
    const isV1 = controllers.split(',').includes('memory');
    if (!isV1 && controllers !== '') continue;
    const files = isV1 ? ['memory.limit_in_bytes'] : ['memory.max', 'memory.high'];
    const mount = isV1 ? join(root, 'memory') : root;
    for (let group = join('/', path); ; group = dirname(group)) {
      for (const file of files) {
        // "max" is no number.
        const bytes = Number(readText(join(mount, group, file)) ?? NaN);
        if (!Number.isNaN(bytes)) limit = Math.min(limit, bytes);
      }
      if (group === '/') break;
    }
  }
  return limit;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}
