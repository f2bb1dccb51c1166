/**
 * Finds pages without knowing any layout: whatever lies at a page-aligned address, names a page of a known tablespace and
 * has a valid checksum is one. It reads the whole pool, and takes pages that changed since their checksum was made for no
 * pages at all, so dirty ones are left out by themselves (and are not counted). What it found when time is over is found.
 */
import { Deadline } from '../deadline.ts';
import type { Mapping, Memory } from '../process-memory.ts';
import { indicesBy } from '../stable-sort.ts';
import { hasValidChecksum, lsnOf, pageNumberOffset, readU32, spaceIdOffset } from './page-format.ts';
import { capacityOf } from './pool-memory.ts';
import { PoolPages } from './pool-pages.ts';

const windowBytes = 1024 * 1024;

export function scanFrames(
  memory: Memory,
  areas: readonly Pick<Mapping, 'start' | 'end'>[],
  pageSize: number,
  /** Whether the tablespace with this id is known and holds its pages as they are in memory. */
  isPlain: (spaceId: number) => boolean,
  deadline = new Deadline(Infinity),
): PoolPages {
  const pages = new PoolPages(capacityOf(areas, pageSize));
  pages.heatUnknown = 'its pages were found by a scan of its memory';
  const lsns = new Float64Array(pages.address.length);
  const window = new Uint8Array(windowBytes);
  for (const area of areas) {
    const first = Math.ceil(area.start / pageSize) * pageSize;
    for (let start = first; start + pageSize <= area.end; start += windowBytes) {
      const wanted = Math.min(windowBytes, area.end - start);
      if (deadline.remainingMs === 0) {
        pages.late += Math.floor((area.end - start) / pageSize);
        break;
      }
      const bytes = readAround(memory, start, window.subarray(0, wanted), pageSize);
      for (let at = 0; at + pageSize <= bytes; at += pageSize) {
        const space = readU32(window, at + spaceIdOffset);
        const page = readU32(window, at + pageNumberOffset);
        if (!isPlain(space) || !hasValidChecksum(window, at, pageSize)) continue;
        pages.add(start + at, space, page);
        lsns[pages.count - 1] = lsnOf(window, at);
      }
    }
  }
  keepNewest(pages, lsns);
  return pages;
}

/**
 * Copies of a page also lie in the doublewrite buffer, in buffers of its writers and where a smaller pool left them: of several
 * the newest is the pool's, or equal to it.
 */
function keepNewest(pages: PoolPages, lsns: Float64Array): void {
  const order = indicesBy(pages.count, pages.page, pages.space);
  const isKept = new Uint8Array(pages.count);
  markNewest(order, pages.space, pages.page, lsns, isKept);
  pages.count = moveForward(isKept, pages.address, pages.space, pages.page);
}

function markNewest(
  order: Uint32Array,
  spaces: Uint32Array,
  pages: Uint32Array,
  lsns: Float64Array,
  isKept: Uint8Array,
): void {
  for (let at = 0; at < order.length;) {
    const first = order[at] ?? 0;
    let newest = first;
    for (at++; at < order.length; at++) {
      const next = order[at] ?? 0;
      if (spaces[next] !== spaces[first] || pages[next] !== pages[first]) break;
      if ((lsns[next] ?? 0) > (lsns[newest] ?? 0)) newest = next;
    }
    isKept[newest] = 1;
  }
}

/** @returns how many are kept */
function moveForward(
  isKept: Uint8Array,
  address: Float64Array,
  space: Uint32Array,
  page: Uint32Array,
): number {
  let count = 0;
  for (let index = 0; index < isKept.length; index++) {
    if (isKept[index] === 0) continue;
    address[count] = address[index] ?? 0;
    space[count] = space[index] ?? 0;
    page[count] = page[index] ?? 0;
    count++;
  }
  return count;
}

/** Reads on behind a hole or guard page, whose frame then holds zeros: it must not end the scan of its area. */
function readAround(memory: Memory, start: number, into: Uint8Array, pageSize: number): number {
  let at = memory.read(start, into);
  while (at < into.length) {
    const next = (Math.floor(at / pageSize) + 1) * pageSize;
    into.fill(0, at, Math.min(next, into.length));
    if (next >= into.length) break;
    at = next + memory.read(start + next, into.subarray(next));
  }
  return into.length;
}
