/**
 * Finds pages without knowing any layout: whatever lies at a page-aligned address, names a page of a known tablespace and
 * has a valid checksum is one. It reads the whole pool, and takes pages that changed since their checksum was made for no
 * pages at all, so dirty ones are left out by themselves (and are not counted).
 */
import type { Mapping, Memory } from '../process-memory.ts';
import { hasValidChecksum, pageNumberOffset, readU32, spaceIdOffset } from './page-format.ts';
import { capacityOf } from './pool-memory.ts';
import { PoolPages } from './pool-pages.ts';

const windowBytes = 1024 * 1024;

export function scanFrames(
  memory: Memory,
  areas: readonly Mapping[],
  pageSize: number,
  /** Whether the tablespace with this id is known and holds its pages as they are in memory. */
  isPlain: (spaceId: number) => boolean,
): PoolPages {
  const pages = new PoolPages(capacityOf(areas, pageSize));
  const window = new Uint8Array(windowBytes);
  for (const area of areas) {
    const first = Math.ceil(area.start / pageSize) * pageSize;
    for (let start = first; start + pageSize <= area.end; start += windowBytes) {
      const wanted = Math.min(windowBytes, area.end - start);
      const bytes = readAround(memory, start, window.subarray(0, wanted), pageSize);
      for (let at = 0; at + pageSize <= bytes; at += pageSize) {
        const space = readU32(window, at + spaceIdOffset);
        const page = readU32(window, at + pageNumberOffset);
        if (isPlain(space) && hasValidChecksum(window, at, pageSize)) pages.add(start + at, space, page);
      }
    }
  }
  return pages;
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
