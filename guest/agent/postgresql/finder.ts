/** Pages in the shared buffers of PostgreSQL servers. */
import { closeSync, readSync } from 'node:fs';
import { totalmem } from 'node:os';
import { type LeftOutPages, leaveOut } from '../../../engine/list/left-out.ts';
import { pageSizeBytes } from '../../../engine/list/page-list.ts';
import type { Deadline } from '../deadline.ts';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import { type CachedPages, type CachingProgram, notLookedAt, type PageFinder } from '../page-finder.ts';
import { type Mapping, type Memory, ProcessMemory, readMappings } from '../process-memory.ts';
import { openRegularFileSync } from '../safe-files.ts';
import { pagesDeadline, SearchMemory, searchMs } from '../search-memory.ts';
import { isListening } from '../server-sockets.ts';
import { writeDirtyPages } from './checkpoint.ts';
import { blockBytes, checksumOffset, isEqualButHints, pageChecksum, readU16 } from './page-format.ts';
import { RelationFiles } from './relation-files.ts';
import { PageTable, touchPages } from './resident-pages.ts';
import { findPostmasters, type Postmaster } from './server-process.ts';
import {
  type BufferedPages,
  type BufferLayout,
  findBuffers,
  sharedMemory,
  walkBuffers,
} from './shared-buffers.ts';

/** What is found out once in the life of a server. */
interface KnownServer {
  readonly layout: BufferLayout;
  /** Undefined until pages have shown whether files have checksums. */
  hasChecksums: boolean | undefined;
}

export class PostgresqlFinder implements PageFinder {
  /** By process. */
  #known = new Map<string, KnownServer>();

  programs(): Promise<readonly CachingProgram[]> {
    const { servers, others } = findPostmasters();
    const keyOf = ({ pid, startTicks }: Postmaster): string => `${pid}:${startTicks}`;
    const keys = new Set(servers.map(keyOf));
    this.#known = new Map([...this.#known].filter(([key]) => keys.has(key)));
    return Promise.resolve([
      ...servers.map((server): CachingProgram => {
        const { pid, userId, directory } = server;
        return {
          pid,
          userId,
          description: `postgresql ${directory.majorVersion} (pid ${pid})`,
          isReady: () => isListening(pid),
          writeDirtyPages: () => writeDirtyPages(server),
          findPages: (deadline) =>
            Promise.resolve().then(() => this.#findPages(server, keyOf(server), deadline)),
        };
      }),
      ...notLookedAt(others),
    ]);
  }

  /** @throws GuestError 'unknown-layout', 'too-large', 'too-slow' */
  #findPages(server: Postmaster, key: string, deadline: Deadline): CachedPages {
    const processMemory = new ProcessMemory(server.pid);
    const table = new PageTable(server.pid);
    try {
      // For each list: where a layout was found before, the process may have put other memory since.
      const areas = sharedMemory(readMappings(server.pid));
      const search = deadline.within(searchMs(bytesOf(areas)));
      const memory = searchable(processMemory, areas, search);
      const known = this.#known.get(key) ?? {
        layout: findLayout(server.pid, memory, areas, table),
        hasChecksums: undefined,
      };
      const pages = listBuffers(server, memory, known, search);
      this.#known.set(key, known);
      touchPages(memory, table, pages.address, blockBytes);
      return pages;
    } finally {
      table.close();
      processMemory.close();
    }
  }
}

/** The postmaster's own resident memory says nothing of how much there is to read. */
const bytesOf = (areas: readonly Mapping[]): number =>
  areas.reduce((sum, { start, end }) => sum + end - start, 0);

function searchable(memory: Memory, areas: readonly Mapping[], search: Deadline): Memory {
  const ascending = [...areas].sort((a, b) => a.start - b.start);
  return new SearchMemory(memory, ascending, search);
}

/** @throws GuestError 'unknown-layout', 'too-large', 'too-slow' */
function findLayout(pid: number, memory: Memory, areas: readonly Mapping[], table: PageTable): BufferLayout {
  for (const area of areas) {
    // Address space costs a process nothing, but every page of it would be looked at.
    if (area.end - area.start > 2 * totalmem())
      throw new GuestError('too-large', `process ${pid} shares ${area.end - area.start} bytes of memory`);
    const layout = findBuffers(memory, area, (start, end) => table.hasAny(start, end));
    if (layout !== undefined) return layout;
  }
  throw new GuestError(
    'unknown-layout',
    `no buffers of PostgreSQL are found in the ${areas.length} areas of memory that process ${pid} shares`,
  );
}

/** @throws GuestError 'unknown-layout', 'too-large', 'too-slow' */
export function listBuffers(
  server: Pick<Postmaster, 'pid' | 'directory'>,
  memory: Memory,
  known: KnownServer,
  deadline: Deadline,
): CachedPages {
  const { pid, directory } = server;
  const buffered = walkBuffers(memory, known.layout);
  const files = new RelationFiles(directory);
  const file = new Int32Array(buffered.count);
  const page = new Uint32Array(buffered.count);
  const { freeSpaceMaps, unknown, beyond } = files.assign(buffered, file, page, deadline);
  const named = buffered.count - freeSpaceMaps - unknown - beyond;
  const leftOut: LeftOutPages = {};
  const leave = (reason: Parameters<typeof leaveOut>[1], count: number): void => {
    leaveOut(leftOut, reason, count * (blockBytes / pageSizeBytes));
  };
  leave('dirty', buffered.dirty);
  leave('free-space-map', freeSpaceMaps);
  leave('unknown-tablespace', unknown);
  leave('beyond-limits', beyond);
  let count = 0;
  // Before version 16 blocks begin at any multiple of 128 bytes.
  const isAligned = known.layout.blocks % pageSizeBytes === 0;
  if (isAligned) {
    const compared =
      known.hasChecksums === true
        ? undefined
        : compareWithFiles(memory, buffered, file, page, files.paths, pid);
    known.hasChecksums = compared?.hasChecksums ?? known.hasChecksums;
    if (known.hasChecksums === true) {
      const { valid, late } = withValidChecksum(memory, buffered, file, pagesDeadline(deadline));
      count = keepPages(buffered.count, buffered.address, file, page, buffered.cold, valid);
      leave('not-in-time', late);
      leave('stale-checksum', named - count - late);
    } else if (compared?.isMostlyEqual === false) leave('unmarked-hints', named);
    else count = keepPages(buffered.count, buffered.address, file, page, buffered.cold, new Uint8Array(0));
  } else leave('unaligned-in-memory', named);
  return {
    pid,
    pageSizeBytes: blockBytes,
    count,
    address: buffered.address.subarray(0, count),
    file: new Uint32Array(file.buffer, 0, count),
    page: page.subarray(0, count),
    cold: buffered.cold.subarray(0, count),
    files: files.paths,
    server: {
      product: 'postgresql',
      version: directory.majorVersion,
      method: 'descriptors',
      cachedPages: buffered.count + buffered.dirty,
      dirtyPages: buffered.dirty,
      excludedPages: buffered.count - count,
    },
    leftOut,
  };
}

/**
 * Pages that are compared with their files: they show that the buffers hold what they seem to, but for hints. Once is enough where
 * each page's checksum tells about hints; elsewhere each list needs to know how many pages have other ones by now.
 */
const samples = 32;
/** Some may change meanwhile, and without checksums nothing tells. */
const minEqualShare = 0.5;

interface Comparison {
  /** Whether files have checksums; undefined where no page has been written yet. */
  readonly hasChecksums: boolean | undefined;
  /** Whether pages are as in their files, hints included, but for the checksum. */
  readonly isMostlyEqual: boolean;
}

/** @throws GuestError 'unknown-layout' where pages are not what their descriptors say */
function compareWithFiles(
  memory: Memory,
  buffered: BufferedPages,
  file: Int32Array,
  page: Uint32Array,
  paths: readonly string[],
  pid: number,
): Comparison {
  const inMemory = Buffer.alloc(blockBytes);
  const inFile = Buffer.alloc(blockBytes);
  let compared = 0;
  let equalButHints = 0;
  let equal = 0;
  let withChecksum = 0;
  const step = Math.max(1, Math.floor(buffered.count / samples));
  for (let index = 0; index < buffered.count; index += step) {
    const path = paths[file[index] ?? -1];
    if (path === undefined || !readBlock(path, page[index] ?? 0, inFile)) continue;
    if (memory.read(buffered.address[index] ?? 0, inMemory) < blockBytes) continue;
    if (inFile.every((byte) => byte === 0)) continue;
    compared++;
    if (readU16(inFile, checksumOffset) !== 0) withChecksum++;
    if (isEqualButHints(inMemory, inFile)) equalButHints++;
    inMemory.copy(inFile, checksumOffset, checksumOffset, checksumOffset + 2);
    if (inMemory.equals(inFile)) equal++;
  }
  if (equalButHints < minEqualShare * compared)
    throw new GuestError(
      'unknown-layout',
      `of ${compared} buffers of process ${pid} that seem to be clean, ${equalButHints} are equal to their file but for hints`,
    );
  return {
    hasChecksums: compared === 0 ? undefined : withChecksum > 0,
    isMostlyEqual: equal >= minEqualShare * compared,
  };
}

function readBlock(path: string, block: number, into: Buffer): boolean {
  try {
    const file = openRegularFileSync(path);
    if (file === undefined) return false;
    try {
      return readSync(file, into, 0, into.length, block * blockBytes) === into.length;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    // Dropped meanwhile.
    if (systemErrorCode(error) !== undefined) return false;
    throw error;
  }
}

/**
 * `valid` has a 1 for pages that are in memory as they are in the file: the server puts the checksum into a copy that it writes, so
 * that a page which was written since it was read has an old one, or none, and a standby's page that got hints since has the one
 * of before. `late` is how many of the pages with a file were not
 * looked at when the deadline was over: this is the one part of a list that reads all of the buffers.
 *
 * @param file number of each page's file, below 0 for those without
 */
function withValidChecksum(
  memory: Memory,
  { count, address, block }: Pick<BufferedPages, 'count' | 'address' | 'block'>,
  file: Int32Array,
  deadline: Deadline,
): { readonly valid: Uint8Array; readonly late: number } {
  const valid = new Uint8Array(count);
  const page = new Uint32Array(blockBytes / 4);
  const bytes = new Uint8Array(page.buffer);
  const state = new Uint32Array(32);
  for (let index = 0; index < count; index++) {
    if ((file[index] ?? -1) < 0) continue;
    if (deadline.remainingMs === 0) return { valid, late: countFiles(file, index, count) };
    if (memory.read(address[index] ?? 0, bytes) < blockBytes) continue;
    const held = readU16(bytes, checksumOffset);
    if (held !== 0 && held === pageChecksum(page, block[index] ?? 0, state)) valid[index] = 1;
  }
  return { valid, late: 0 };
}

/** How many of the pages [from, to) have a file. Numbers and typed arrays alone (page-runs.ts says why). */
function countFiles(file: Int32Array, from: number, to: number): number {
  let pages = 0;
  for (let index = from; index < to; index++) if ((file[index] ?? -1) >= 0) pages++;
  return pages;
}

/**
 * Moves the pages forward that have a file and, if there are any, a 1 in `wanted`. Numbers and typed arrays alone (docs/agent.md,
 * V8's optimiser).
 */
function keepPages(
  found: number,
  address: Float64Array,
  file: Int32Array,
  page: Uint32Array,
  cold: Uint8Array,
  wanted: Uint8Array,
): number {
  let count = 0;
  for (let index = 0; index < found; index++) {
    const fileNumber = file[index] ?? -1;
    if (fileNumber < 0 || (wanted.length > 0 && wanted[index] === 0)) continue;
    address[count] = address[index] ?? 0;
    file[count] = fileNumber;
    page[count] = page[index] ?? 0;
    cold[count] = cold[index] ?? 0;
    count++;
  }
  return count;
}
