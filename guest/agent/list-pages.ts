/** Makes the page list: find, translate, map. */
import { readlinkSync } from 'node:fs';
import { setImmediate as answerRequests } from 'node:timers/promises';
import type { PageList } from '../../engine/list/page-list.ts';
import { ExtentIndex, locateFiles } from './file-location.ts';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { readGuestRam } from './guest-ram.ts';
import type { CachedPages, CachingProgram } from './page-finder.ts';
import { translatePages } from './pagemap.ts';
import { buildRuns, type LocatedPages } from './page-runs.ts';

/** By process, from the last list on. */
let extentIndexes = new Map<number, ExtentIndex>();

/**
 * Lists the pages of all given programs. The encoder fills in `timings.encodeMs`. Each phase takes the processor for as long
 * as it needs, in an emulated guest for seconds; between them requests that have come are told that the agent works.
 * @throws GuestError
 */
export async function listPages(programs: readonly CachingProgram[]): Promise<PageList> {
  const timings = { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 };
  const located: LocatedPages[] = [];
  const known = extentIndexes;
  extentIndexes = new Map();
  const failures: unknown[] = [];
  for (const program of programs) {
    try {
      located.push(await locatePages(program, known, timings));
    } catch (error) {
      // What is wrong with one program, or what only calls itself so, is no reason to do without the others.
      if (isRunning(program.pid)) failures.push(error);
    }
  }
  if (located.length === 0) {
    const [failure] = failures;
    if (failure instanceof Error) throw failure;
    const rights = process.geteuid?.() === 0 ? '' : ' that this user may look at (the agent needs root)';
    throw new GuestError(
      'no-server',
      `no program runs whose cached pages are known, mariadbd or mysqld${rights}`,
    );
  }
  await answerRequests();
  const mapStartMs = performance.now();
  const listed = buildRuns(located);
  timings.mapMs += performance.now() - mapStartMs;
  if (listed.sources.length === 0) {
    throw new GuestError(
      'unsupported-storage',
      'no data file lies on a plain disk, a partition or NFS: blocks behind LVM, RAID, encryption or an overlay cannot be named',
    );
  }
  return {
    ...listed,
    guestRam: readGuestRam(),
    timings,
    server: describeServers(located.map(({ pages }) => pages)),
  };
}

async function locatePages(
  program: CachingProgram,
  known: ReadonlyMap<number, ExtentIndex>,
  timings: { findMs: number; translateMs: number; mapMs: number },
): Promise<LocatedPages> {
  const startMs = performance.now();
  const pages = await program.findPages();
  const foundMs = performance.now();
  await answerRequests();
  const translateStartMs = performance.now();
  const frames = translatePages(pages);
  const translatedMs = performance.now();
  await answerRequests();
  const mapStartMs = performance.now();
  const extentIndex = known.get(pages.pid) ?? new ExtentIndex();
  extentIndexes.set(pages.pid, extentIndex);
  const locations = await locateFiles(pages.pid, pages.files, extentIndex);
  timings.findMs += foundMs - startMs;
  timings.translateMs += translatedMs - translateStartMs;
  timings.mapMs += performance.now() - mapStartMs;
  const { address: _given, ...addressless } = pages;
  return { pages: addressless, frames, locations };
}

/** A process that has ended but was not waited for has no working directory any more. */
function isRunning(pid: number): boolean {
  try {
    readlinkSync(`/proc/${pid}/cwd`);
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ENOENT' && systemErrorCode(error) !== 'ESRCH';
  }
}

function describeServers(all: readonly Pick<CachedPages, 'server'>[]): PageList['server'] {
  const servers = all.map(({ server }) => server);
  const sum = (count: (server: PageList['server']) => number): number =>
    servers.reduce((total, server) => total + count(server), 0);
  const products = new Set(servers.map(({ product }) => product));
  const [onlyProduct = 'other'] = products;
  return {
    product: products.size === 1 ? onlyProduct : 'other',
    version: servers.map(({ version }) => version).join(', '),
    method: servers.some(({ method }) => method === 'scan') ? 'scan' : 'descriptors',
    cachedPages: sum(({ cachedPages }) => cachedPages),
    dirtyPages: sum(({ dirtyPages }) => dirtyPages),
    excludedPages: sum(({ excludedPages }) => excludedPages),
  };
}
