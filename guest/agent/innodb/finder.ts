/** Pages in the buffer pools of MariaDB and MySQL servers. */
import { totalmem } from 'node:os';
import { type LeftOutPages, type LeftOutReason, leaveOut } from '../../../engine/list/left-out.ts';
import type { Deadline } from '../deadline.ts';
import { GuestError } from '../guest-error.ts';
import { pageSizeBytes as listPageBytes } from '../../../engine/list/page-list.ts';
import { type CachedPages, type CachingProgram, notLookedAt, type PageFinder } from '../page-finder.ts';
import { type Mapping, type Memory, ProcessMemory, readMappings } from '../process-memory.ts';
import type { Calibration } from './calibration.ts';
import { writeDirtyPages } from './dirty-pages.ts';
import { poolMemory } from './pool-memory.ts';
import type { PoolPages } from './pool-pages.ts';
import { calibrateWithFiles, findInPool, ServerLayouts } from './pool-search.ts';
import { findServers, type ServerProcess } from './server-process.ts';
import { SearchMemory, searchMs } from '../search-memory.ts';
import { isListening } from '../server-sockets.ts';
import { TablespaceIndex, type TablespaceFile, withOnePageSize } from './tablespaces.ts';

/** Of all servers together. */
const maxKnownFiles = 300_000;

export class InnodbFinder implements PageFinder {
  /** By process, so that files are not read again for every list. */
  private indexes = new Map<string, TablespaceIndex>();
  private readonly layouts: ServerLayouts;

  constructor(layouts = new ServerLayouts()) {
    this.layouts = layouts;
  }

  async programs(): Promise<readonly CachingProgram[]> {
    const { servers, others } = await findServers();
    const indexes = new Map<string, TablespaceIndex>();
    const programs = servers.map((server): CachingProgram => {
      const key = `${server.pid}:${server.startTicks}`;
      const index = this.indexes.get(key) ?? new TablespaceIndex(server.product);
      indexes.set(key, index);
      return {
        pid: server.pid,
        userId: server.userId,
        description: `${server.product} ${server.version} (pid ${server.pid})`,
        isReady: () => isListening(server.pid),
        writeDirtyPages: () => writeDirtyPages(server),
        findPages: async (deadline) =>
          findPages(
            server,
            await index.read(server.pid, deadline, this.roomFor(index)),
            this.layouts,
            deadline,
          ),
      };
    });
    this.indexes = indexes;
    return [...programs, ...notLookedAt(others)];
  }

  /** Most of what the other servers' files leave: each takes its place in the agent's memory for as long as its server runs. */
  private roomFor(index: TablespaceIndex): number {
    const others = [...this.indexes.values()].filter((other) => other !== index);
    return Math.floor((2 / 3) * (maxKnownFiles - others.reduce((sum, { size }) => sum + size, 0)));
  }
}

/**
 * What is found out about a server's descriptors, without the layouts that are known.
 * @throws GuestError 'too-large', 'too-slow'
 */
export async function calibrateServer(
  server: ServerProcess,
  deadline: Deadline,
): Promise<Calibration & { readonly pageSizeBytes: number }> {
  const files = await new TablespaceIndex(server.product).read(server.pid, deadline);
  const { pageSizeBytes, tablespaces } = withOnePageSize(files);
  return withPool(server, deadline, (memory, areas) => ({
    pageSizeBytes,
    ...calibrateWithFiles(memory, areas, pageSizeBytes, tablespaces),
  }));
}

/** @throws GuestError 'unknown-layout', 'too-large', 'too-slow' */
function findPages(
  server: ServerProcess,
  files: readonly TablespaceFile[],
  layouts: ServerLayouts,
  deadline: Deadline,
): CachedPages {
  const { pageSizeBytes, tablespaces } = withOnePageSize(files);
  return withPool(server, deadline, (memory, areas, search) => {
    const found = findInPool(memory, areas, server, pageSizeBytes, tablespaces, layouts, search);
    return {
      pid: server.pid,
      pageSizeBytes,
      ...selectPages(found.pages, pageSizeBytes, tablespaces, server, found.method),
    };
  });
}

/** @throws GuestError 'too-large', 'too-slow' */
function withPool<Result>(
  { pid, residentPages }: ServerProcess,
  deadline: Deadline,
  look: (memory: Memory, areas: readonly Mapping[], search: Deadline) => Result,
): Result {
  const memory = new ProcessMemory(pid);
  try {
    const areas = poolMemory(readMappings(pid));
    const areaBytes = areas.reduce((bytes, { start, end }) => bytes + end - start, 0);
    // Address space costs a process nothing, but every page of it would be looked at.
    if (areaBytes > 2 * totalmem())
      throw new GuestError('too-large', `process ${pid} has ${areaBytes} bytes of memory areas`);
    const search = deadline.within(searchMs(residentPages * listPageBytes));
    return look(new SearchMemory(memory, areas, search), areas, search);
  } finally {
    memory.close();
  }
}

/** Why a page's file does not hold it; the first where no file is known. */
const exclusions = [
  'unknown-tablespace',
  'compressed',
  'page-compressed',
  'encrypted',
  'page-size',
] as const satisfies readonly LeftOutReason[];

/**
 * Keeps the pages whose file holds them byte for byte, and says which file that is. Takes over the columns of `found`,
 * which are as large as the agent may be: the pages that stay move forward, and the space gives way to the file.
 */
export function selectPages(
  found: PoolPages,
  pageSizeBytes: number,
  tablespaces: readonly TablespaceFile[],
  server: Pick<ServerProcess, 'product' | 'version'>,
  method: 'descriptors' | 'scan',
): Omit<CachedPages, 'pid' | 'pageSizeBytes'> {
  // The later files of a tablespace come first, so that the first that begins before a page is the page's own.
  const files = tablespaces
    .map(({ spaceId, firstPage, excluded }, index) => ({ spaceId, firstPage, index, excluded }))
    .sort((a, b) => a.spaceId - b.spaceId || b.firstPage - a.firstPage);
  const { address, space: file, page, cold, heatUnknown } = found;
  const excluded = new Uint32Array(exclusions.length);
  const count = keepPages(
    found.count,
    address,
    file,
    page,
    cold,
    Uint32Array.from(files, ({ spaceId }) => spaceId),
    Uint32Array.from(files, ({ firstPage }) => firstPage),
    Int32Array.from(files, (one) =>
      one.excluded === undefined ? one.index : -1 - exclusions.indexOf(one.excluded),
    ),
    excluded,
  );
  const leftOut: LeftOutPages = {};
  const blocksPerPage = pageSizeBytes / listPageBytes;
  leaveOut(leftOut, 'dirty', found.dirty * blocksPerPage);
  leaveOut(leftOut, 'not-in-time', found.late * blocksPerPage);
  for (const [index, reason] of exclusions.entries())
    leaveOut(leftOut, reason, (excluded[index] ?? 0) * blocksPerPage);
  return {
    count,
    address: address.subarray(0, count),
    file: file.subarray(0, count),
    page: page.subarray(0, count),
    cold: cold.subarray(0, count),
    ...(heatUnknown === undefined ? {} : { heatUnknown }),
    files: tablespaces.map(({ path }) => path),
    server: {
      product: server.product,
      version: server.version,
      method,
      cachedPages: found.count + found.dirty,
      dirtyPages: found.dirty,
      excludedPages: found.count - count,
    },
    leftOut,
  };
}

/**
 * Moves the pages that have a file forward, and puts file and page of the file in place of space and page of the tablespace.
 * Numbers and typed arrays alone (page-runs.ts says why).
 *
 * @param fileSpaces tablespace of each file, ascending
 * @param fileFirstPages first page of each, descending within a tablespace
 * @param fileIndexes what to note for each, or -1 less an index of `excluded`, which counts its pages then
 * @returns how many are kept
 */
function keepPages(
  found: number,
  address: Float64Array,
  space: Uint32Array,
  page: Uint32Array,
  cold: Uint8Array,
  fileSpaces: Uint32Array,
  fileFirstPages: Uint32Array,
  fileIndexes: Int32Array,
  excluded: Uint32Array,
): number {
  let count = 0;
  let lastSpace = -1;
  let firstFile = 0;
  for (let index = 0; index < found; index++) {
    const spaceId = space[index] ?? 0;
    const pageNumber = page[index] ?? 0;
    if (spaceId !== lastSpace) {
      firstFile = 0;
      let end = fileSpaces.length;
      while (firstFile < end) {
        const middle = (firstFile + end) >>> 1;
        if ((fileSpaces[middle] ?? 0) < spaceId) firstFile = middle + 1;
        else end = middle;
      }
      lastSpace = spaceId;
    }
    let file = firstFile;
    while (fileSpaces[file] === spaceId && (fileFirstPages[file] ?? 0) > pageNumber) file++;
    const kept = fileSpaces[file] === spaceId ? (fileIndexes[file] ?? -1) : -1;
    if (kept < 0) {
      excluded[-1 - kept] = (excluded[-1 - kept] ?? 0) + 1;
      continue;
    }
    address[count] = address[index] ?? 0;
    space[count] = kept;
    page[count] = pageNumber - (fileFirstPages[file] ?? 0);
    cold[count] = cold[index] ?? 0;
    count++;
  }
  return count;
}
