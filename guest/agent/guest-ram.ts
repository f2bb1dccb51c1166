/** Where RAM lies in the guest's physical address space. */
import { readFileSync } from 'node:fs';
import { pageSizeBytes, type PageList } from '../../engine/list/page-list.ts';
import { GuestError } from './guest-error.ts';

/**
 * Whole page frames of "System RAM" in the text of /proc/iomem.
 * @throws GuestError 'not-permitted': without CAP_SYS_ADMIN all addresses in it read as 0
 */
export function parseGuestRam(iomem: string): PageList['guestRam'] {
  const ranges: (readonly [number, number])[] = [];
  for (const match of iomem.matchAll(/^([0-9a-f]+)-([0-9a-f]+) : System RAM$/gm)) {
    const [, start = '', last = ''] = match;
    const firstFrame = Math.ceil(parseInt(start, 16) / pageSizeBytes);
    const endFrame = Math.floor((parseInt(last, 16) + 1) / pageSizeBytes);
    if (endFrame > firstFrame) ranges.push([firstFrame, endFrame - 1]);
  }
  if (ranges.length === 0)
    throw new GuestError('not-permitted', '/proc/iomem shows no RAM: the agent needs root');
  return ranges;
}

export function readGuestRam(): PageList['guestRam'] {
  return parseGuestRam(readFileSync('/proc/iomem', 'utf8'));
}
