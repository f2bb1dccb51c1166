/** Makes the page list: find, translate, map. */
import { readlinkSync } from 'node:fs';
import { totalmem } from 'node:os';
import { setImmediate as answerRequests } from 'node:timers/promises';
import {
  type LeftOutPages,
  type LeftOutReason,
  leaveOut,
  leftOutReasons,
} from '../../engine/list/left-out.ts';
import { listLimits } from '../../engine/list/page-list-metadata.ts';
import { type ListFailure, nameOf, type PageList, pageSizeBytes } from '../../engine/list/page-list.ts';
import { type NoPlace, sourcesOf } from './block-device.ts';
import { Deadline, listMs } from './deadline.ts';
import { ExtentIndex, type FileLocation, locateFiles } from './file-location.ts';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { readGuestRam } from './guest-ram.ts';
import { watched } from './hang-watch.ts';
import { failureOf } from './list-failure.ts';
import { memoryLimitBytes, pagesWithin } from './memory-bound.ts';
import type { CachingProgram, FoundPages } from './page-finder.ts';
import { translatePages } from './pagemap.ts';
import { fairly } from './processes.ts';
import { buildRuns, type LocatedPages } from './page-runs.ts';
import { releaseMuch } from './release-memory.ts';

/** Of a list that has the kernel's pages alone. */
const noServer: PageList['server'] = {
  product: 'other',
  version: 'no server',
  method: 'descriptors',
  cachedPages: 0,
  dirtyPages: 0,
  excludedPages: 0,
};

/** By process, from the last list on. */
let extentIndexes = new Map<number, ExtentIndex>();

interface ListOptions {
  /** Programs whose pages have no place by then are left out. */
  readonly deadline?: Deadline;
  /** Of 4 KiB, that the agent has memory for. */
  readonly maxPages?: number;
  /** Whether cold pages come last, or all are in storage order. */
  readonly hotFirst?: boolean;
}

/**
 * Lists the pages of all given programs. The encoder fills in `timings.encodeMs`. Each phase takes the processor for as long
 * as it needs, in an emulated guest for seconds; between them requests that have come are told that the agent works.
 * @param before what went wrong before
 * @throws GuestError where no program gives a page, with every reason
 */
export async function listPages(
  programs: readonly CachingProgram<FoundPages>[],
  before: readonly ListFailure[] = [],
  {
    deadline = new Deadline(listMs),
    maxPages = pagesWithin(memoryLimitBytes()),
    hotFirst = true,
  }: ListOptions = {},
): Promise<PageList> {
  const timings = { findMs: 0, translateMs: 0, mapMs: 0, encodeMs: 0 };
  const located: LocatedPages[] = [];
  const known = extentIndexes;
  extentIndexes = new Map();
  const failures = [...before];
  const heatUnknown: string[] = [];
  let firstError: unknown;
  const room = { bytes: totalmem(), pages: maxPages, files: maxFiles, extents: maxExtents };
  const inTurn = surestFirst(programs, known);
  for (const [index, program] of inTurn.entries()) {
    try {
      const isLast = index === inTurn.length - 1;
      const locate = async () => locatePages(program, known, timings, room, deadline, isLast);
      const placed = await watched(program.userId, locate);
      located.push(placed);
      if (placed.pages.heatUnknown !== undefined)
        heatUnknown.push(
          `${program.description}: ${placed.pages.heatUnknown}`.slice(0, listLimits.heatUnknownText),
        );
    } catch (error) {
      // What is wrong with one program, or what only calls itself so, is no reason to do without the others.
      if (!isRunning(program.pid)) continue;
      if (program.isKernel !== true) firstError ??= error;
      failures.push(failureOf(program.description, error));
    }
    releaseMuch();
  }
  if (located.length === 0) {
    if (failures.length === 1 && firstError instanceof Error) throw firstError;
    if (firstError !== undefined) throw new GuestError('no-server', failuresText(failures), firstError);
    const rights = process.geteuid?.() === 0 ? '' : ' that this user may look at (the agent needs root)';
    throw new GuestError(
      'no-server',
      [
        `no program runs whose cached pages are known, mariadbd, mysqld or postgres${rights}`,
        ...(failures.length === 0 ? [] : [failuresText(failures)]),
      ].join('; '),
    );
  }
  await answerRequests();
  const mapStartMs = performance.now();
  const listed = buildRuns(onServersDisks(located), hotFirst);
  timings.mapMs += performance.now() - mapStartMs;
  const leftOut: LeftOutPages = { ...listed.leftOut };
  for (const { pages } of located)
    for (const [reason, count] of Object.entries(pages.leftOut))
      leaveOut(leftOut, reason as LeftOutReason, count);
  if (listed.sources.length === 0)
    throw new GuestError('unsupported-storage', nothingListedText(leftOut, failures));
  return {
    ...listed,
    guestRam: readGuestRam(),
    timings,
    server: describeServers(located),
    leftOut,
    failures: failures.slice(0, listLimits.failures),
    ...(hotFirst && { heatUnknown: heatUnknown.slice(0, listLimits.heatUnknown) }),
  };
}

/** The kernel, whose pages no user's process delays, then programs that gave pages for the last list. */
function surestFirst(
  programs: readonly CachingProgram<FoundPages>[],
  known: ReadonlyMap<number, ExtentIndex>,
): readonly CachingProgram<FoundPages>[] {
  const rank = ({ isKernel, pid }: CachingProgram<FoundPages>): number =>
    isKernel === true ? 0 : known.has(pid) ? 1 : 2;
  return fairly(programs).sort((a, b) => rank(a) - rank(b));
}

/** Of the time that remains, for one of several programs: one after the other can take all that it gets. */
const shareOfTime = 0.5;
/** For the last one's pages: the rest is for their places. */
const shareOfLast = 0.8;
/** Of the pages that the agent has memory for: servers' pages are those that a list is made for. */
const shareOfKernel = 0.5;

/**
 * The kernel's pages that lie on disks where servers' pages lie. A disk that only the system is on may be none that the destination
 * has, and where two disks are listed a `--storage` that names none would serve neither. Where no server has a place, all are.
 */
export function onServersDisks(located: readonly LocatedPages[]): readonly LocatedPages[] {
  const places = new Set(
    located.flatMap(({ pages, locations }) =>
      pages.server === undefined
        ? []
        : locations.flatMap((location) => ('leftOut' in location ? [] : [location.place])),
    ),
  );
  const sources = new Set([...places].flatMap((place) => sourcesOf(place).map(nameOf)));
  if (sources.size === 0) return located;
  const isThere = (location: FileLocation | NoPlace): boolean =>
    'leftOut' in location || sourcesOf(location.place).every((source) => sources.has(nameOf(source)));
  return located.map((one) =>
    one.pages.server !== undefined
      ? one
      : { ...one, locations: one.locations.map((location) => (isThere(location) ? location : otherDisk)) },
  );
}

const otherDisk: NoPlace = { leftOut: 'other-disk' };

const failuresText = (failures: readonly ListFailure[]): string =>
  failures.map(({ program, message }) => `${program}: ${message}`).join('; ');

function nothingListedText(leftOut: LeftOutPages, failures: readonly ListFailure[]): string {
  const reasons = Object.entries(leftOut)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${count} pages of 4 KiB ${leftOutReasons[reason as LeftOutReason]}`);
  const all = [...reasons, ...(failures.length === 0 ? [] : [failuresText(failures)])];
  return `no cached page is a copy of a block that can be named: ${all.length === 0 ? 'none is cached' : all.join('; ')}`;
}

/** Files with pages, and pieces of them, of all programs together: each takes hundreds of bytes of the agent's memory. */
const maxFiles = 300_000;
const maxExtents = 600_000;

/** What is left for a program of what all have together. */
interface Room {
  /** Memory that the guest has beside the pages of others: address space, of which a program can have any amount, is none. */
  bytes: number;
  /** 4 KiB pages that the agent has memory for. */
  pages: number;
  files: number;
  extents: number;
}

/**
 * @param room is taken from; what it has no room for is left out
 * @param isLast whether no other program needs what remains of the time
 * @throws GuestError 'too-large', 'too-slow'
 */
async function locatePages(
  program: CachingProgram<FoundPages>,
  known: ReadonlyMap<number, ExtentIndex>,
  timings: { findMs: number; translateMs: number; mapMs: number },
  room: Room,
  deadline: Deadline,
  isLast: boolean,
): Promise<LocatedPages> {
  const startMs = performance.now();
  const share = program.isKernel === true ? shareOfKernel : 1;
  const maxPages = Math.floor(Math.min(share * room.pages, room.bytes / pageSizeBytes));
  const found = await program.findPages(
    deadline.within((isLast ? shareOfLast : shareOfTime) * deadline.remainingMs),
    maxPages,
  );
  const pages = firstPages(found, maxPages);
  releaseMuch();
  const foundMs = performance.now();
  await answerRequests();
  const translateStartMs = performance.now();
  const frames = 'frames' in pages ? pages.frames : translatePages(pages);
  const translatedMs = performance.now();
  await answerRequests();
  const mapStartMs = performance.now();
  const extentIndex = known.get(pages.pid) ?? new ExtentIndex();
  const hasPages = new Uint8Array(pages.files.length);
  const files = markFiles(pages.file, pages.count, hasPages, room.files);
  const located = await locateFiles(
    pages.pid,
    pages.files,
    extentIndex,
    deadline.within((isLast ? 1 : shareOfTime) * deadline.remainingMs),
    (file) => hasPages[file] === fileHas.pages,
  );
  const locations = located.map((location, file) =>
    hasPages[file] === fileHas.noRoom ? beyondLimits : withinRoom(location, room),
  );
  room.bytes -= pages.count * pages.pageSizeBytes;
  room.pages -= (pages.count * pages.pageSizeBytes) / pageSizeBytes;
  room.files -= files;
  extentIndexes.set(pages.pid, extentIndex);
  timings.findMs += foundMs - startMs;
  timings.translateMs += translatedMs - translateStartMs;
  timings.mapMs += performance.now() - mapStartMs;
  const {
    address: _given,
    files: _located,
    ...needed
  }: FoundPages & { readonly address?: Float64Array } = pages;
  return { pages: needed, frames, locations };
}

/** The first of the pages, in memory of their own: the others' is given back. @param maxPages of 4 KiB */
function firstPages(found: FoundPages, maxPages: number): FoundPages {
  const blocks = found.pageSizeBytes / pageSizeBytes;
  const count = Math.min(found.count, Math.floor(maxPages / blocks));
  if (count === found.count) return found;
  const leftOut: LeftOutPages = { ...found.leftOut };
  leaveOut(leftOut, 'beyond-limits', (found.count - count) * blocks);
  const first = {
    ...{ count, leftOut, file: found.file.slice(0, count), page: found.page.slice(0, count) },
    cold: found.cold.slice(0, count),
  };
  return 'frames' in found
    ? { ...found, ...first, frames: found.frames.slice(0, count * blocks) }
    : { ...found, ...first, address: found.address.slice(0, count) };
}

/** Files that are in more pieces than there is room for are left out, and the others are not. @param room is taken from */
export function withinRoom(
  location: FileLocation | NoPlace,
  room: Pick<Room, 'extents'>,
): FileLocation | NoPlace {
  if ('leftOut' in location) return location;
  if (location.extents.length > room.extents) return { leftOut: 'too-fragmented' };
  room.extents -= location.extents.length;
  return location;
}

const beyondLimits: NoPlace = { leftOut: 'beyond-limits' };
const fileHas = { pages: 1, noRoom: 2 } as const;

/** @returns how many of `most` have pages. Numbers and typed arrays alone (page-runs.ts says why). */
function markFiles(file: Uint32Array, count: number, hasPages: Uint8Array, most: number): number {
  let files = 0;
  for (let page = 0; page < count; page++) {
    const number = file[page] ?? 0;
    if (hasPages[number] !== 0) continue;
    hasPages[number] = files < most ? fileHas.pages : fileHas.noRoom;
    if (files < most) files++;
  }
  return files;
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

/** All servers as one, within what the host takes. */
export function describeServers(all: readonly LocatedPages[]): PageList['server'] {
  const servers = all.flatMap(({ pages }) => pages.server ?? []);
  if (servers.length === 0) return noServer;
  const sum = (count: (server: PageList['server']) => number): number =>
    servers.reduce((total, server) => total + count(server), 0);
  const products = new Set(servers.map(({ product }) => product));
  const [onlyProduct = 'other'] = products;
  return {
    product: products.size === 1 ? onlyProduct : 'other',
    version: servers
      .map(({ version }) => version)
      .join(', ')
      .slice(0, listLimits.version),
    method: servers.some(({ method }) => method === 'scan') ? 'scan' : 'descriptors',
    cachedPages: sum(({ cachedPages }) => cachedPages),
    dirtyPages: sum(({ dirtyPages }) => dirtyPages),
    excludedPages: sum(({ excludedPages }) => excludedPages),
  };
}
