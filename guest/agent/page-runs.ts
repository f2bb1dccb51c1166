/** From cached pages, their frames and the files' places to runs in storage order. */
import { pageSizeBytes, type PageRuns, type PageSource } from '../../engine/pages/page-list.ts';
import type { Extent } from './file-extents.ts';
import type { FileLocation } from './file-location.ts';
import type { CachedPages } from './page-finder.ts';

/** Pages of one process with all that a list needs to know of them. */
export interface LocatedPages {
  /** Without their addresses: the frames took their place, so that their memory can be given back. */
  readonly pages: Omit<CachedPages, 'address'>;
  /** Frame numbers, pageSizeBytes/4096 for each page; 0 = not in RAM. */
  readonly frames: Uint32Array;
  /** For each of `pages.files`. */
  readonly locations: readonly (FileLocation | undefined)[];
}

export interface ListedRuns {
  readonly sources: readonly PageSource[];
  readonly runs: PageRuns;
  /** 4096-byte pages in the runs. */
  readonly pageCount: number;
}

/** An extent of one file with the pages that may lie in it. */
interface PlacedExtent extends Extent {
  readonly sourceIndex: number;
  readonly set: SortedPages;
  readonly file: number;
}

interface SortedPages extends LocatedPages {
  readonly blocksPerPage: number;
  /** Pages by (file, page): indices into `pages`. */
  readonly order: Uint32Array;
  /** Where each file begins in `order`; one more than there are files. */
  readonly fileStart: Uint32Array;
  /** Blocks of a page that are found, for pages that no single extent holds whole: by position in `order`. */
  readonly partial: Map<number, number>;
}

const maxRunPages = 0xffff;
/** Source numbers have 16 bits; files on NFS beyond that are left out. */
const maxSources = 0x10000;
/** Storage block numbers have 32 bits. */
const maxBlocks = 2 ** 32;

/**
 * Pages with a hole or an unwritten piece in their file are left out whole: that is what transparent page compression
 * leaves behind, and a page that was never written has nothing to restore from.
 */
export function buildRuns(sets: readonly LocatedPages[]): ListedRuns {
  const sources: PageSource[] = [];
  const extents = placeExtents(sets.map(sortPages), sources);
  for (const extent of extents) countPartialPages(extent);
  const runs = new RunBuilder(sets.reduce((blocks, { frames }) => blocks + frames.length, 0));
  for (const extent of extents) addExtent(extent, runs);
  return { sources, runs: runs.finish(), pageCount: runs.pageCount };
}

function sortPages(located: LocatedPages): SortedPages {
  const { pages } = located;
  const fileStart = new Uint32Array(pages.files.length + 1);
  for (let index = 0; index < pages.count; index++) {
    const next = (pages.file[index] ?? 0) + 1;
    fileStart[next] = (fileStart[next] ?? 0) + 1;
  }
  for (let file = 0; file < pages.files.length; file++)
    fileStart[file + 1] = (fileStart[file + 1] ?? 0) + (fileStart[file] ?? 0);
  const order = new Uint32Array(pages.count);
  for (let index = 0; index < pages.count; index++) order[index] = index;
  const sort = new StableSort(order);
  sort.by(pages.page);
  sort.by(pages.file);
  return {
    ...located,
    blocksPerPage: pages.pageSizeBytes / pageSizeBytes,
    order: sort.indices,
    fileStart,
    partial: new Map(),
  };
}

/**
 * Radix sort of indices by key, 16 bits a pass; passes in which all keys agree are left out. Two arrays serve all passes.
 * Plain loops: a list is made once, and in an emulated guest for..of takes three times as long before it is compiled.
 */
class StableSort {
  indices: Uint32Array;
  private spare: Uint32Array;
  /** Where each digit's indices begin; one more than there are digits. */
  private readonly starts = new Uint32Array(0x10001);

  /** @param indices are taken over */
  constructor(indices: Uint32Array) {
    this.indices = indices;
    this.spare = new Uint32Array(indices.length);
  }

  by(key: Uint32Array): void {
    let largest = 0;
    for (let at = 0; at < this.indices.length; at++)
      largest = Math.max(largest, key[this.indices[at] ?? 0] ?? 0);
    for (let shift = 0; shift < 32 && largest >>> shift > 0; shift += 16)
      this.pass(key, shift, Math.min(largest >>> shift, 0xffff) + 1);
  }

  private pass(key: Uint32Array, shift: number, digits: number): void {
    const { indices: from, spare: to } = this;
    const start = this.starts.subarray(0, digits + 1).fill(0);
    for (let at = 0; at < from.length; at++) {
      const next = (((key[from[at] ?? 0] ?? 0) >>> shift) & 0xffff) + 1;
      start[next] = (start[next] ?? 0) + 1;
    }
    for (let digit = 0; digit < digits; digit++)
      start[digit + 1] = (start[digit + 1] ?? 0) + (start[digit] ?? 0);
    for (let at = 0; at < from.length; at++) {
      const index = from[at] ?? 0;
      const digit = ((key[index] ?? 0) >>> shift) & 0xffff;
      const place = start[digit] ?? 0;
      to[place] = index;
      start[digit] = place + 1;
    }
    this.indices = to;
    this.spare = from;
  }
}

/** All extents in storage order. Files that share a disk share its source. */
function placeExtents(sets: readonly SortedPages[], sources: PageSource[]): PlacedExtent[] {
  const indexOfSource = new Map<string, number>();
  const extents: PlacedExtent[] = [];
  for (const set of sets) {
    for (const [file, location] of set.locations.entries()) {
      if (location === undefined || set.fileStart[file] === set.fileStart[file + 1]) continue;
      const name = JSON.stringify(location.source);
      let sourceIndex = indexOfSource.get(name);
      if (sourceIndex === undefined) {
        if (sources.length === maxSources) continue;
        sourceIndex = sources.push(location.source) - 1;
        indexOfSource.set(name, sourceIndex);
      }
      for (const extent of location.extents)
        if (extent.physicalBlock + extent.count <= maxBlocks)
          extents.push({ ...extent, sourceIndex, set, file });
    }
  }
  return extents.sort((a, b) => a.sourceIndex - b.sourceIndex || a.physicalBlock - b.physicalBlock);
}

/** Calls `visit` for each cached page that touches the extent, with the blocks [first, end) of the page that lie in it. */
function visitPages(
  extent: PlacedExtent,
  visit: (position: number, firstBlock: number, endBlock: number) => void,
): void {
  const { set, file, logicalBlock, count } = extent;
  const { order, blocksPerPage } = set;
  const end = set.fileStart[file + 1] ?? 0;
  for (let position = firstPosition(extent); position < end; position++) {
    const pageBlock = (set.pages.page[order[position] ?? 0] ?? 0) * blocksPerPage;
    if (pageBlock >= logicalBlock + count) return;
    visit(
      position,
      Math.max(0, logicalBlock - pageBlock),
      Math.min(blocksPerPage, logicalBlock + count - pageBlock),
    );
  }
}

/** Position of the first page of the file that ends after the extent's start. */
function firstPosition({ set, file, logicalBlock }: PlacedExtent): number {
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

function countPartialPages(extent: PlacedExtent): void {
  const { partial, blocksPerPage } = extent.set;
  // An extent of whole pages has no partial ones, which is the rule.
  if (extent.logicalBlock % blocksPerPage === 0 && extent.count % blocksPerPage === 0) return;
  visitPages(extent, (position, first, end) => {
    if (end - first < blocksPerPage) partial.set(position, (partial.get(position) ?? 0) + end - first);
  });
}

function addExtent(extent: PlacedExtent, runs: RunBuilder): void {
  const { set, sourceIndex, logicalBlock, physicalBlock } = extent;
  const { order, blocksPerPage, frames, partial, pages } = set;
  visitPages(extent, (position, first, end) => {
    if (end - first < blocksPerPage && partial.get(position) !== blocksPerPage) return;
    const index = order[position] ?? 0;
    const storageBlock = physicalBlock + (pages.page[index] ?? 0) * blocksPerPage - logicalBlock;
    // A page's frames mostly follow each other.
    for (let block = first; block < end;) {
      const frame = frames[index * blocksPerPage + block] ?? 0;
      let count = 1;
      if (frame !== 0) {
        const at = index * blocksPerPage + block;
        while (block + count < end && frames[at + count] === frame + count) count++;
        runs.add(sourceIndex, storageBlock + block, frame, count);
      }
      block += count;
    }
  });
}

/** Joins pages that follow each other in storage and in memory. */
class RunBuilder {
  pageCount = 0;
  private readonly sourceIndex: Uint16Array;
  private readonly storageBlock: Uint32Array;
  private readonly guestFrame: Uint32Array;
  private readonly count: Uint16Array;
  private runs = 0;

  /** @param capacity most runs that there can be; memory is taken only for those that there are */
  constructor(capacity: number) {
    this.sourceIndex = new Uint16Array(capacity);
    this.storageBlock = new Uint32Array(capacity);
    this.guestFrame = new Uint32Array(capacity);
    this.count = new Uint16Array(capacity);
  }

  /** @param pages at most as many as a database page has */
  add(source: number, block: number, frame: number, pages: number): void {
    this.pageCount += pages;
    const last = this.runs - 1;
    const length = this.count[last] ?? 0;
    if (
      length > 0 &&
      length + pages <= maxRunPages &&
      this.sourceIndex[last] === source &&
      (this.storageBlock[last] ?? 0) + length === block &&
      (this.guestFrame[last] ?? 0) + length === frame
    ) {
      this.count[last] = length + pages;
      return;
    }
    this.sourceIndex[this.runs] = source;
    this.storageBlock[this.runs] = block;
    this.guestFrame[this.runs] = frame;
    this.count[this.runs] = pages;
    this.runs++;
  }

  finish(): PageRuns {
    return {
      sourceIndex: this.sourceIndex.subarray(0, this.runs),
      storageBlock: this.storageBlock.subarray(0, this.runs),
      guestFrame: this.guestFrame.subarray(0, this.runs),
      count: this.count.subarray(0, this.runs),
    };
  }
}
