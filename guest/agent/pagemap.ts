/** Virtual addresses to guest page frames, through /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
import { closeSync, openSync, readSync } from 'node:fs';
import { pageSizeBytes } from '../../engine/list/page-list.ts';
import { GuestError, systemErrorCode } from './guest-error.ts';
import type { CachedPages } from './page-finder.ts';
import { openOrExplain } from './process-memory.ts';

const entryBytes = 8;
/** Entries read at once: 512 KiB, the entries of 256 MiB of memory. */
const windowEntries = 64 * 1024;
/** In the upper half of an entry: present in RAM; the upper bits of the frame number. */
const presentBit = 0x8000_0000;
const upperFrameBits = 0x007f_ffff;

/** Reads pagemap entries: fills `into` from the entry `index` on, gives the bytes read. */
type ReadPagemap = (index: number, into: Uint8Array) => number;

/**
 * Gives pageSizeBytes/4096 frame numbers for each page, 0 where the memory is not present (swapped out, or given back).
 * An entry names 4 KiB whatever the size of the page that maps it, so huge pages need nothing special.
 * @throws GuestError 'not-permitted' when the kernel hides frame numbers
 */
export function translateToFrames(pages: CachedPages, readPagemap: ReadPagemap): Uint32Array {
  const { count, address } = pages;
  const framesPerPage = pages.pageSizeBytes / pageSizeBytes;
  const frames = new Uint32Array(count * framesPerPage);
  const window = new Uint32Array(windowEntries * 2);
  const windowBytes = new Uint8Array(window.buffer);
  const tally = new Uint32Array(2);
  for (let page = 0; page < count;) {
    const start = (address[page] ?? 0) / pageSizeBytes;
    const entries = Math.floor(readPagemap(start, windowBytes) / entryBytes);
    page = takeFrames(page, count, address, framesPerPage, window, start, entries, frames, tally);
  }
  const [present = 0, known = 0] = tally;
  if (present > 0 && known === 0) {
    throw new GuestError(
      'not-permitted',
      'the kernel hides page frame numbers: the agent needs CAP_SYS_ADMIN',
    );
  }
  return frames;
}

/**
 * Takes the frames of the pages from `page` on that lie in the window of pagemap entries from `start` on, and at least of one.
 * `tally` counts pages that are present, and frames that are known. Numbers and typed arrays alone (docs/agent.md, V8's
 * optimiser).
 *
 * @returns the first page that does not lie in it
 */
function takeFrames(
  page: number,
  pageCount: number,
  address: Float64Array,
  framesPerPage: number,
  window: Uint32Array,
  start: number,
  entries: number,
  frames: Uint32Array,
  tally: Uint32Array,
): number {
  let present = 0;
  let known = 0;
  let next = page;
  for (; next < pageCount; next++) {
    const first = (address[next] ?? 0) / pageSizeBytes - start;
    if (next > page && (first < 0 || first + framesPerPage > entries)) break;
    const readable = Math.min(framesPerPage, entries - first);
    for (let part = 0; part < readable; part++) {
      const at = (first + part) * 2;
      const upper = window[at + 1] ?? 0;
      if ((upper & presentBit) === 0) continue;
      present++;
      // Frame numbers beyond 32 bits (16 TiB) have no place in a page list.
      if ((upper & upperFrameBits) !== 0) continue;
      const frame = window[at] ?? 0;
      if (frame === 0) continue;
      known++;
      frames[next * framesPerPage + part] = frame;
    }
  }
  tally[0] = (tally[0] ?? 0) + present;
  tally[1] = (tally[1] ?? 0) + known;
  return next;
}

/** Translates the pages of a running process. @throws GuestError */
export function translatePages(pages: CachedPages): Uint32Array {
  const descriptor = openOrExplain(pages.pid, () => openSync(`/proc/${pages.pid}/pagemap`, 'r'));
  try {
    return translateToFrames(pages, (index, into) => {
      try {
        return readSync(descriptor, into, 0, into.length, index * entryBytes);
      } catch (error) {
        // Beyond the end of the address space, or the memory map is gone with its process.
        if (systemErrorCode(error) === 'EFAULT' || systemErrorCode(error) === 'EINVAL') return 0;
        throw error;
      }
    });
  } finally {
    closeSync(descriptor);
  }
}
