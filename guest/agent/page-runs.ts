/** From cached pages, their frames and the files' places to runs: hot pages first, if that is asked for, and in storage order. */
import {
  emptyRuns,
  pageSizeBytes,
  type PageRuns,
  type PageSource,
  type RunColumns,
} from '../../engine/list/page-list.ts';
import { type LeftOutPages, type LeftOutReason, leaveOut } from '../../engine/list/left-out.ts';
import type { NoPlace } from './block-device.ts';
import type { FileLocation } from './file-location.ts';
import type { CachedPages, PagesOfFiles } from './page-finder.ts';
import { indicesBy } from './stable-sort.ts';
import { ListedSources, maxBlocks } from './volumes.ts';

/** Pages of one process with all that a list needs to know of them. */
export interface LocatedPages {
  /** Without their addresses and the files' names: frames and places took their place, so that their memory can be given back. */
  readonly pages: Omit<PagesOfFiles, 'files'> & Partial<Pick<CachedPages, 'server'>>;
  /** Frame numbers, pageSizeBytes/4096 for each page; 0 = not in RAM. */
  readonly frames: Uint32Array;
  /** For each of `pages.files`. */
  readonly locations: readonly (FileLocation | NoPlace)[];
}

export interface ListedRuns {
  readonly sources: readonly PageSource[];
  readonly runs: PageRuns;
  /** 4096-byte pages in the runs. */
  readonly pageCount: number;
  /** What was found and is in none of them. */
  readonly leftOut: LeftOutPages;
}

/** Extents of files with pages that may lie in them, as columns: there can be hundreds of thousands. Places are on disks, or on volumes. */
interface PlacedExtents {
  count: number;
  readonly sourceIndex: Uint16Array;
  readonly physicalBlock: Uint32Array;
  readonly logicalBlock: Float64Array;
  readonly blocks: Float64Array;
  /** Number of its set of pages, and of the file in it. */
  readonly set: Uint16Array;
  readonly file: Uint32Array;
}

interface SortedPages extends LocatedPages {
  readonly blocksPerPage: number;
  /** Pages by (file, page): indices into `pages`. */
  readonly order: Uint32Array;
  /** Where each file begins in `order`; one more than there are files. */
  readonly fileStart: Uint32Array;
  /** Blocks of each page that an extent holds, by position in `order`. */
  readonly foundBlocks: Uint8Array;
}

const maxRunPages = 0xffff;

/** Pages for which `cold & mask` is `is`. */
interface Heat {
  readonly mask: number;
  readonly is: number;
}
const all: Heat = { mask: 0, is: 0 };
const hot: Heat = { mask: 1, is: 0 };
const cold: Heat = { mask: 1, is: 1 };

/**
 * Pages with a hole or an unwritten piece in their file are left out whole: that is what transparent page compression
 * leaves behind, and a page that was never written has nothing to restore from.
 */
export function buildRuns(sets: readonly LocatedPages[], hotFirst = false): ListedRuns {
  const sources = new ListedSources();
  const sorted = sets.map(sortPages);
  const { extents, beyondLimits } = placeExtents(sorted, sources);
  const inOrder = indicesBy(extents.count, extents.physicalBlock, extents.sourceIndex);
  for (const extent of inOrder) countBlocks(sorted, extents, extent);
  const leftOut: LeftOutPages = {};
  for (const set of sorted) countLeftOut(set, beyondLimits, leftOut);
  const columns = emptyRuns(sets.reduce((blocks, { frames }) => blocks + frames.length, 0));
  /** Adds the pages of a heat behind the first `runs` runs. */
  const add = (heat: Heat, runs: number): { readonly runs: number; readonly pages: number } => {
    const free = part(columns, runs, columns.count.length);
    const tally = new Float64Array(2);
    for (const extent of inOrder) addExtent(sorted, extents, extent, heat, free, tally);
    const [runsOnDevices = 0, pagesOnDevices = 0] = tally;
    const onDisks = sources.toDisks(free, runsOnDevices, pagesOnDevices);
    leaveOut(leftOut, 'beyond-limits', pagesOnDevices - onDisks.pages);
    putInStorageOrder(part(free, 0, onDisks.runs));
    return onDisks;
  };
  const first = add(hotFirst ? hot : all, 0);
  const last = hotFirst ? add(cold, first.runs) : { runs: 0, pages: 0 };
  const found = part(columns, 0, first.runs + last.runs);
  return {
    sources: sources.dropUnused(found.sourceIndex),
    runs: { ...found, firstColdRun: first.runs },
    pageCount: first.pages + last.pages,
    leftOut,
  };
}

function part(
  { sourceIndex, storageBlock, guestFrame, count }: RunColumns,
  from: number,
  to: number,
): RunColumns {
  return {
    sourceIndex: sourceIndex.subarray(from, to),
    storageBlock: storageBlock.subarray(from, to),
    guestFrame: guestFrame.subarray(from, to),
    count: count.subarray(from, to),
  };
}

/** Pages of which no block, or not all, have a place, by the reason of their file; and what is not in memory. */
function countLeftOut(
  set: SortedPages,
  beyondLimits: ReadonlySet<FileLocation>,
  leftOut: LeftOutPages,
): void {
  for (const [file, location] of set.locations.entries()) {
    const from = set.fileStart[file] ?? 0;
    const to = set.fileStart[file + 1] ?? 0;
    const reason: LeftOutReason =
      'leftOut' in location
        ? location.leftOut
        : beyondLimits.has(location)
          ? 'beyond-limits'
          : location.otherwise;
    const placed = 'leftOut' in location ? 0 : countWhole(set.foundBlocks, from, to, set.blocksPerPage);
    leaveOut(leftOut, reason, (to - from - placed) * set.blocksPerPage);
  }
  leaveOut(leftOut, 'not-in-memory', countAbsent(set.order, set.foundBlocks, set.frames, set.blocksPerPage));
}

/** At how many positions of [from, to) all blocks were found. */
function countWhole(foundBlocks: Uint8Array, from: number, to: number, blocksPerPage: number): number {
  let count = 0;
  for (let position = from; position < to; position++) if (foundBlocks[position] === blocksPerPage) count++;
  return count;
}

/** How many blocks of pages with a place have no frame. */
function countAbsent(
  order: Uint32Array,
  foundBlocks: Uint8Array,
  frames: Uint32Array,
  blocksPerPage: number,
): number {
  let count = 0;
  for (let position = 0; position < order.length; position++) {
    if (foundBlocks[position] !== blocksPerPage) continue;
    const first = (order[position] ?? 0) * blocksPerPage;
    for (let block = 0; block < blocksPerPage; block++) if (frames[first + block] === 0) count++;
  }
  return count;
}

/**
 * Extents of several files overlap where the file system shares their blocks (reflinks), and a page may be in memory twice:
 * then the runs found extent by extent are not in storage order yet. Nor are those of a volume. A block may be in several runs, each
 * with frames of its own. In place: the columns are as large as the agent may be.
 */
function putInStorageOrder({ sourceIndex, storageBlock, guestFrame, count }: RunColumns): void {
  if (isAscending(sourceIndex, storageBlock)) return;
  const order = indicesBy(count.length, storageBlock, sourceIndex);
  const sorted = new Uint32Array(count.length);
  for (const column of [sourceIndex, storageBlock, guestFrame, count]) {
    gather(order, column, sorted);
    column.set(sorted);
  }
}

function gather(order: Uint32Array, from: Uint16Array | Uint32Array, into: Uint32Array): void {
  for (let at = 0; at < order.length; at++) into[at] = from[order[at] ?? 0] ?? 0;
}

function isAscending(sources: Uint16Array, blocks: Uint32Array): boolean {
  for (let run = 1; run < blocks.length; run++) {
    const [source = 0, before = 0] = [sources[run], sources[run - 1]];
    if (source < before || (source === before && (blocks[run] ?? 0) < (blocks[run - 1] ?? 0))) return false;
  }
  return true;
}

// Loops over pages stand in functions of their own, which get numbers and typed arrays alone: V8 drops the shapes of a list's objects with
// them, and the code that it had optimised for these.

function sortPages(located: LocatedPages): SortedPages {
  const { pages } = located;
  const files = located.locations.length;
  const fileStart = new Uint32Array(files + 1);
  countKeys(pages.file, pages.count, fileStart);
  for (let file = 0; file < files; file++)
    fileStart[file + 1] = (fileStart[file + 1] ?? 0) + (fileStart[file] ?? 0);
  return {
    ...located,
    blocksPerPage: pages.pageSizeBytes / pageSizeBytes,
    order: indicesBy(pages.count, pages.page, pages.file),
    fileStart,
    foundBlocks: new Uint8Array(pages.count),
  };
}

function countKeys(keys: Uint32Array, count: number, next: Uint32Array): void {
  for (let index = 0; index < count; index++) {
    const at = (keys[index] ?? 0) + 1;
    next[at] = (next[at] ?? 0) + 1;
  }
}

/** All extents, on the files' devices. */
function placeExtents(
  sets: readonly SortedPages[],
  sources: ListedSources,
): { readonly extents: PlacedExtents; readonly beyondLimits: ReadonlySet<FileLocation> } {
  const extents = roomForExtents(sets);
  const beyondLimits = new Set<FileLocation>();
  for (const [setIndex, set] of sets.entries()) {
    for (const [file, location] of set.locations.entries()) {
      if ('leftOut' in location || set.fileStart[file] === set.fileStart[file + 1]) continue;
      const { place } = location;
      const sourceIndex = sources.numberOf(place);
      if (sourceIndex === undefined) {
        beyondLimits.add(location);
        continue;
      }
      const firstBlock = 'source' in place ? place.firstBlock : 0;
      for (const { logicalBlock, physicalBlock, count } of location.extents) {
        if (firstBlock + physicalBlock + count > maxBlocks) {
          beyondLimits.add(location);
          continue;
        }
        const at = extents.count++;
        extents.sourceIndex[at] = sourceIndex;
        extents.physicalBlock[at] = firstBlock + physicalBlock;
        extents.logicalBlock[at] = logicalBlock;
        extents.blocks[at] = count;
        extents.set[at] = setIndex;
        extents.file[at] = file;
      }
    }
  }
  return { extents, beyondLimits };
}

function roomForExtents(sets: readonly SortedPages[]): PlacedExtents {
  let room = 0;
  for (const { locations } of sets)
    for (const location of locations) if (!('leftOut' in location)) room += location.extents.length;
  return {
    ...{ count: 0, sourceIndex: new Uint16Array(room), physicalBlock: new Uint32Array(room) },
    ...{ logicalBlock: new Float64Array(room), blocks: new Float64Array(room) },
    ...{ set: new Uint16Array(room), file: new Uint32Array(room) },
  };
}

/** Position of the first page of the file that ends after the extent's start. */
function firstPosition(set: SortedPages, file: number, logicalBlock: number): number {
  let low = set.fileStart[file] ?? 0;
  let high = set.fileStart[file + 1] ?? 0;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const endBlock = ((set.pages.page[set.order[middle] ?? 0] ?? 0) + 1) * set.blocksPerPage;
    if (endBlock > logicalBlock) high = middle;
    else low = middle + 1;
  }
  return low;
}

function countBlocks(sets: readonly SortedPages[], extents: PlacedExtents, extent: number): void {
  const set = sets[extents.set[extent] ?? 0];
  if (set === undefined) return;
  const file = extents.file[extent] ?? 0;
  const logicalBlock = extents.logicalBlock[extent] ?? 0;
  countFoundBlocks(
    firstPosition(set, file, logicalBlock),
    set.fileStart[file + 1] ?? 0,
    set.order,
    set.pages.page,
    set.blocksPerPage,
    set.foundBlocks,
    logicalBlock,
    logicalBlock + (extents.blocks[extent] ?? 0),
  );
}

/** For the pages at positions [first, end): how many of their blocks lie in blocks [from, to) of the file. */
function countFoundBlocks(
  first: number,
  end: number,
  order: Uint32Array,
  pages: Uint32Array,
  blocksPerPage: number,
  foundBlocks: Uint8Array,
  from: number,
  to: number,
): void {
  for (let position = first; position < end; position++) {
    const block = (pages[order[position] ?? 0] ?? 0) * blocksPerPage;
    if (block >= to) return;
    const blocks = Math.min(blocksPerPage, to - block) - Math.max(0, from - block);
    foundBlocks[position] = (foundBlocks[position] ?? 0) + blocks;
  }
}

/** @param tally runs and pages so far */
function addExtent(
  sets: readonly SortedPages[],
  extents: PlacedExtents,
  extent: number,
  heat: Heat,
  columns: RunColumns,
  tally: Float64Array,
): void {
  const set = sets[extents.set[extent] ?? 0];
  if (set === undefined) return;
  const file = extents.file[extent] ?? 0;
  const logicalBlock = extents.logicalBlock[extent] ?? 0;
  addPages(
    firstPosition(set, file, logicalBlock),
    set.fileStart[file + 1] ?? 0,
    set.order,
    set.pages.page,
    set.blocksPerPage,
    set.foundBlocks,
    set.frames,
    set.pages.cold,
    heat.mask,
    heat.is,
    logicalBlock,
    logicalBlock + (extents.blocks[extent] ?? 0),
    (extents.physicalBlock[extent] ?? 0) - logicalBlock,
    extents.sourceIndex[extent] ?? 0,
    columns.sourceIndex,
    columns.storageBlock,
    columns.guestFrame,
    columns.count,
    tally,
  );
}

/**
 * Adds the pages of a heat at positions [first, end) as far as they lie in blocks [from, to) of the file, `distance` blocks before their
 * place on the source. Those that follow each other in storage and in memory are joined.
 */
function addPages(
  first: number,
  end: number,
  order: Uint32Array,
  pages: Uint32Array,
  blocksPerPage: number,
  foundBlocks: Uint8Array,
  frames: Uint32Array,
  cold: Uint8Array,
  heatMask: number,
  heat: number,
  from: number,
  to: number,
  distance: number,
  source: number,
  sources: Uint16Array,
  storageBlocks: Uint32Array,
  guestFrames: Uint32Array,
  counts: Uint16Array,
  tally: Float64Array,
): void {
  let last = (tally[0] ?? 0) - 1;
  let added = 0;
  for (let position = first; position < end; position++) {
    const index = order[position] ?? 0;
    const pageBlock = (pages[index] ?? 0) * blocksPerPage;
    if (pageBlock >= to) break;
    if (foundBlocks[position] !== blocksPerPage || ((cold[index] ?? 0) & heatMask) !== heat) continue;
    const frameAt = index * blocksPerPage;
    const endBlock = Math.min(blocksPerPage, to - pageBlock);
    for (let block = Math.max(0, from - pageBlock); block < endBlock;) {
      const frame = frames[frameAt + block] ?? 0;
      // A page's frames mostly follow each other.
      let count = 1;
      while (frame !== 0 && block + count < endBlock && frames[frameAt + block + count] === frame + count)
        count++;
      if (frame !== 0) {
        const storageBlock = distance + pageBlock + block;
        const length = last < 0 ? 0 : (counts[last] ?? 0);
        const joins =
          length > 0 &&
          length + count <= maxRunPages &&
          sources[last] === source &&
          (storageBlocks[last] ?? 0) + length === storageBlock &&
          (guestFrames[last] ?? 0) + length === frame;
        if (joins) {
          counts[last] = length + count;
        } else {
          last++;
          sources[last] = source;
          storageBlocks[last] = storageBlock;
          guestFrames[last] = frame;
          counts[last] = count;
        }
        added += count;
      }
      block += count;
    }
  }
  tally[0] = last + 1;
  tally[1] = (tally[1] ?? 0) + added;
}
