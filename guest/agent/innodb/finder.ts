/** Pages in the buffer pools of MariaDB and MySQL servers. */
import { GuestError } from '../guest-error.ts';
import type { CachedPages, CachingProgram, PageFinder } from '../page-finder.ts';
import { type Mapping, type Memory, ProcessMemory, readMappings } from '../process-memory.ts';
import { isTrustworthy, verifyPages, walkDescriptors } from './descriptors.ts';
import { writeDirtyPages } from './dirty-pages.ts';
import { scanFrames } from './frame-scan.ts';
import { layoutsFor } from './layouts.ts';
import { poolMemory } from './pool-memory.ts';
import type { PoolPages } from './pool-pages.ts';
import { findServers, type ServerProcess } from './server-process.ts';
import { isListening } from './server-sockets.ts';
import { TablespaceIndex, type TablespaceFile } from './tablespaces.ts';

export class InnodbFinder implements PageFinder {
  /** By process, so that files are not read again for every list. */
  private indexes = new Map<string, TablespaceIndex>();

  async programs(): Promise<readonly CachingProgram[]> {
    const servers = await findServers();
    const indexes = new Map<string, TablespaceIndex>();
    const programs = servers.map((server): CachingProgram => {
      const key = `${server.pid}:${server.startTicks}`;
      const index = this.indexes.get(key) ?? new TablespaceIndex(server.product);
      indexes.set(key, index);
      return {
        pid: server.pid,
        description: `${server.product} ${server.version} (pid ${server.pid})`,
        isReady: () => isListening(server.pid),
        writeDirtyPages: () => writeDirtyPages(server),
        findPages: async () => findPages(server, await index.read(server.pid)),
      };
    });
    this.indexes = indexes;
    return programs;
  }
}

/** @throws GuestError 'unknown-layout' */
function findPages(server: ServerProcess, tablespaces: readonly TablespaceFile[]): CachedPages {
  const pageSizeBytes = tablespaces[0]?.pageSizeBytes ?? 16 * 1024;
  const memory = new ProcessMemory(server.pid);
  try {
    const areas = poolMemory(readMappings(server.pid));
    const found = findInPool(memory, areas, server, pageSizeBytes, tablespaces);
    return { pid: server.pid, pageSizeBytes, ...selectPages(found.pages, tablespaces, server, found.method) };
  } finally {
    memory.close();
  }
}

/** Tries the known layouts, then the scan. Exported for tests, which bring memory of their own. */
export function findInPool(
  memory: Memory,
  areas: readonly Mapping[],
  server: Pick<ServerProcess, 'product' | 'version'>,
  pageSizeBytes: number,
  tablespaces: readonly Pick<TablespaceFile, 'spaceId' | 'excluded'>[],
): { pages: PoolPages; method: 'descriptors' | 'scan' } {
  const plain = tablespaces.filter(({ excluded }) => excluded === undefined);
  const spaceIds = new Set(plain.map(({ spaceId }) => spaceId));
  const isPlain = (spaceId: number): boolean => spaceIds.has(spaceId);
  for (const layout of layoutsFor(server.product, server.version)) {
    const pages = walkDescriptors(memory, areas, layout, pageSizeBytes);
    if (isTrustworthy(verifyPages(memory, pages, pageSizeBytes, isPlain)))
      return { pages, method: 'descriptors' };
  }
  const pages = scanFrames(memory, areas, pageSizeBytes, isPlain);
  if (pages.count > 0) return { pages, method: 'scan' };
  throw new GuestError(
    'unknown-layout',
    `no cached page was found in the memory of ${server.product} ${server.version}: its layout is not known, ` +
      'and no frame has a valid header and checksum',
  );
}

/**
 * Keeps the pages whose file holds them byte for byte, and says which file that is. Takes over the columns of `found`,
 * which are as large as the agent may be: the pages that stay move forward, and the space gives way to the file.
 */
export function selectPages(
  found: PoolPages,
  tablespaces: readonly TablespaceFile[],
  server: Pick<ServerProcess, 'product' | 'version'>,
  method: 'descriptors' | 'scan',
): Omit<CachedPages, 'pid' | 'pageSizeBytes'> {
  const filesBySpace = new Map<number, { index: number; file: TablespaceFile }[]>();
  for (const [index, tablespace] of tablespaces.entries()) {
    const { spaceId } = tablespace;
    filesBySpace.set(spaceId, [...(filesBySpace.get(spaceId) ?? []), { index, file: tablespace }]);
  }
  // The later files of a tablespace come first, so that the first match below is the right one.
  for (const files of filesBySpace.values()) files.sort((a, b) => b.file.firstPage - a.file.firstPage);

  const { address, space: file, page } = found;
  let count = 0;
  let lastSpace = -1;
  let files: { index: number; file: TablespaceFile }[] | undefined;
  for (let index = 0; index < found.count; index++) {
    const space = file[index] ?? 0;
    const pageNumber = page[index] ?? 0;
    if (space !== lastSpace) files = filesBySpace.get(space);
    lastSpace = space;
    const holder = files?.find((candidate) => pageNumber >= candidate.file.firstPage);
    if (holder === undefined || holder.file.excluded !== undefined) continue;
    address[count] = address[index] ?? 0;
    file[count] = holder.index;
    page[count] = pageNumber - holder.file.firstPage;
    count++;
  }
  return {
    count,
    address: address.subarray(0, count),
    file: file.subarray(0, count),
    page: page.subarray(0, count),
    files: tablespaces.map(({ path }) => path),
    server: {
      product: server.product,
      version: server.version,
      method,
      cachedPages: found.count + found.dirty,
      dirtyPages: found.dirty,
      excludedPages: found.count - count,
    },
  };
}
