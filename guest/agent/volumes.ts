/**
 * From runs on volumes of the device mapper to runs on the disks that they are made of. A striped volume cuts a file into a piece for
 * each stripe, 16 to the MiB, so only what is cached of it is cut: there are never more pieces than pages.
 */
import type { PageSource, RunColumns } from '../../engine/list/page-list.ts';
import { listLimits } from '../../engine/list/page-list-metadata.ts';
import type { DevicePlace, Volume } from './block-device.ts';

/** Files on NFS beyond these are left out. The other metadata of a list, however it is escaped, takes less than 1 MiB. */
const maxSources = listLimits.sources;
const maxSourceBytes = listLimits.metadataBytes - 1024 * 1024;
/** What the encoder adds to a source: `,"runs":4294967295,"coldRuns":4294967295,`. */
const runCountBytes = 42;
/** Volumes are numbered from here down, sources from 0 up, as runs name both. */
const lastNumber = 0xffff;
const maxVolumes = 4096;
/** Blocks of storage have numbers of 32 bits. */
export const maxBlocks = 2 ** 32;

/** What a list names, and volumes on the way to it. */
export class ListedSources {
  readonly sources: PageSource[] = [];
  readonly #indices = new Map<string, number>();
  #bytes = 0;
  readonly #volumes: Volume[] = [];
  readonly #volumeIndices = new Map<Volume, number | undefined>();

  /** Number of a source, or of a volume, whose disks then are sources; undefined beyond what the host takes. */
  numberOf(place: DevicePlace): number | undefined {
    if ('source' in place) return this.#sourceIndex(place.source);
    const index = this.#volumeIndex(place);
    return index === undefined ? undefined : lastNumber - index;
  }

  #sourceIndex(source: PageSource): number | undefined {
    const name = JSON.stringify(source);
    const known = this.#indices.get(name);
    if (known !== undefined) return known;
    const bytes = Buffer.byteLength(name) + runCountBytes;
    if (this.sources.length === maxSources || this.#bytes + bytes > maxSourceBytes || !isShort(source))
      return undefined;
    this.#bytes += bytes;
    const index = this.sources.push(source) - 1;
    this.#indices.set(name, index);
    return index;
  }

  #volumeIndex(volume: Volume): number | undefined {
    if (this.#volumeIndices.has(volume)) return this.#volumeIndices.get(volume);
    const areNamed = volume.pieces.every(({ stripes }) =>
      stripes.every(({ place }) => this.numberOf(place) !== undefined),
    );
    const index = areNamed && this.#volumes.length < maxVolumes ? this.#volumes.push(volume) - 1 : undefined;
    this.#volumeIndices.set(volume, index);
    return index;
  }

  /**
   * Puts runs on volumes where these lie.
   *
   * @param columns the first `runs` of them are runs, and each page of a run has room for one of its own
   * @param pages in all runs
   * @returns how many runs and pages there are then; a page that lies on no disk, or beyond 16 TiB of one, is in none
   */
  toDisks(
    columns: RunColumns,
    runs: number,
    pages: number,
  ): { readonly runs: number; readonly pages: number } {
    if (this.#volumes.length === 0) return { runs, pages };
    const { sourceIndex, storageBlock, guestFrame, count } = columns;
    const { rowStart, rows, stripes } = this.#tables();
    const lastSource = lastNumber - this.#volumes.length;
    const all = [rowStart, rows, stripes, sourceIndex, storageBlock, guestFrame, count] as const;
    const [kept = 0, total = 0] = dropUnplaced(runs, lastSource, ...all);
    spreadRuns(kept, total, lastSource, ...all);
    return { runs: total, pages: sumOf(count, total) };
  }

  /**
   * A file may have a place and no page that is listed, and a volume disks without any: a disk of those need not be one that the
   * destination has, and where two disks are listed a `--storage` that names none would serve neither.
   *
   * @param sourceIndex of all runs, on disks; renumbered
   * @returns the sources that have runs
   */
  dropUnused(sourceIndex: Uint16Array): readonly PageSource[] {
    const numbers = new Int32Array(this.sources.length).fill(-1);
    markUsed(sourceIndex, numbers);
    const sources = this.sources.filter((_, index) => numbers[index] !== -1);
    for (let index = 0, next = 0; index < numbers.length; index++)
      if (numbers[index] !== -1) numbers[index] = next++;
    renumber(sourceIndex, numbers);
    return sources;
  }

  #tables(): Tables {
    const rowStart = [0];
    const rows: number[] = [];
    const stripes: number[] = [];
    for (const { pieces } of this.#volumes) {
      for (const piece of pieces) {
        const firstStripe = stripes.length / stripeNumbers;
        rows.push(piece.firstBlock, piece.count, piece.chunkBlocks, firstStripe, piece.stripes.length);
        for (const { place, firstBlock } of piece.stripes) {
          const start = 'source' in place ? place.firstBlock : 0;
          stripes.push(this.numberOf(place) ?? 0, start + firstBlock);
        }
      }
      rowStart.push(rows.length / rowNumbers);
    }
    return {
      rowStart: Uint32Array.from(rowStart),
      rows: Float64Array.from(rows),
      stripes: Float64Array.from(stripes),
    };
  }
}

/** Whether the host takes a source's names. */
function isShort(source: PageSource): boolean {
  return source.kind === 'disk'
    ? source.disk.length <= listLimits.diskName
    : source.fileSystem.length <= listLimits.fileSystem && source.path.length <= listLimits.path;
}

/** All volumes. */
interface Tables {
  /** The first row of each volume; one more than there are volumes. */
  readonly rowStart: Uint32Array;
  /** For each piece of a volume: its first block, blocks, blocks of a chunk, first stripe, stripes. */
  readonly rows: Float64Array;
  /** For each stripe: number of what it lies on, and its first block there. */
  readonly stripes: Float64Array;
}
const rowNumbers = 5;
const stripeNumbers = 2;

// Loops over runs get numbers and typed arrays alone (page-runs.ts says why).

/**
 * Where a stretch of a volume lies: written as runs from `at` on, in the order of the volume, or only counted where `at` is negative.
 *
 * @param lastSource numbers above it are volumes
 * @returns how many runs
 */
function placeStretch(
  volume: number,
  block: number,
  frame: number,
  length: number,
  at: number,
  lastSource: number,
  rowStart: Uint32Array,
  rows: Float64Array,
  stripes: Float64Array,
  sources: Uint16Array,
  blocks: Uint32Array,
  frames: Uint32Array,
  counts: Uint16Array,
): number {
  let placed = 0;
  for (let row = rowStart[volume] ?? 0; row < (rowStart[volume + 1] ?? 0); row++) {
    const first = rows[row * rowNumbers] ?? 0;
    const end = Math.min(block + length, first + (rows[row * rowNumbers + 1] ?? 0));
    const chunkBlocks = rows[row * rowNumbers + 2] ?? 0;
    const stripeCount = rows[row * rowNumbers + 4] ?? 0;
    for (let from = Math.max(block, first); from < end;) {
      const chunk = Math.floor((from - first) / chunkBlocks);
      const inChunk = (from - first) % chunkBlocks;
      const part = Math.min(end - from, chunkBlocks - inChunk);
      const stripe = ((rows[row * rowNumbers + 3] ?? 0) + (chunk % stripeCount)) * stripeNumbers;
      const number = stripes[stripe] ?? 0;
      const there = (stripes[stripe + 1] ?? 0) + Math.floor(chunk / stripeCount) * chunkBlocks + inChunk;
      const partFrame = frame + from - block;
      const partAt = at < 0 ? -1 : at + placed;
      if (number > lastSource) {
        placed += placeStretch(
          lastNumber - number,
          there,
          partFrame,
          part,
          partAt,
          lastSource,
          rowStart,
          rows,
          stripes,
          sources,
          blocks,
          frames,
          counts,
        );
      } else if (there + part <= maxBlocks) {
        if (partAt >= 0) {
          sources[partAt] = number;
          blocks[partAt] = there;
          frames[partAt] = partFrame;
          counts[partAt] = part;
        }
        placed++;
      }
      from += part;
    }
  }
  return placed;
}

/** Moves runs that lie on a disk to the front. @returns how many these are, and how many once they are on disks */
function dropUnplaced(
  runs: number,
  lastSource: number,
  rowStart: Uint32Array,
  rows: Float64Array,
  stripes: Float64Array,
  sources: Uint16Array,
  blocks: Uint32Array,
  frames: Uint32Array,
  counts: Uint16Array,
): readonly number[] {
  let kept = 0;
  let total = 0;
  for (let run = 0; run < runs; run++) {
    const number = sources[run] ?? 0;
    const block = blocks[run] ?? 0;
    const frame = frames[run] ?? 0;
    const count = counts[run] ?? 0;
    const placed =
      number <= lastSource
        ? 1
        : placeStretch(
            lastNumber - number,
            block,
            frame,
            count,
            -1,
            lastSource,
            rowStart,
            rows,
            stripes,
            sources,
            blocks,
            frames,
            counts,
          );
    if (placed === 0) continue;
    sources[kept] = number;
    blocks[kept] = block;
    frames[kept] = frame;
    counts[kept] = count;
    kept++;
    total += placed;
  }
  return [kept, total];
}

/** In place, from the last run on: each goes to where it was or further back, since each gives at least one. */
function spreadRuns(
  runs: number,
  total: number,
  lastSource: number,
  rowStart: Uint32Array,
  rows: Float64Array,
  stripes: Float64Array,
  sources: Uint16Array,
  blocks: Uint32Array,
  frames: Uint32Array,
  counts: Uint16Array,
): void {
  let end = total;
  for (let run = runs - 1; run >= 0; run--) {
    const number = sources[run] ?? 0;
    const block = blocks[run] ?? 0;
    const frame = frames[run] ?? 0;
    const count = counts[run] ?? 0;
    if (number <= lastSource) {
      end--;
      sources[end] = number;
      blocks[end] = block;
      frames[end] = frame;
      counts[end] = count;
      continue;
    }
    const volume = lastNumber - number;
    end -= placeStretch(
      volume,
      block,
      frame,
      count,
      -1,
      lastSource,
      rowStart,
      rows,
      stripes,
      sources,
      blocks,
      frames,
      counts,
    );
    placeStretch(
      volume,
      block,
      frame,
      count,
      end,
      lastSource,
      rowStart,
      rows,
      stripes,
      sources,
      blocks,
      frames,
      counts,
    );
  }
}

function sumOf(counts: Uint16Array, length: number): number {
  let sum = 0;
  for (let at = 0; at < length; at++) sum += counts[at] ?? 0;
  return sum;
}

function markUsed(sources: Uint16Array, numbers: Int32Array): void {
  for (let run = 0; run < sources.length; run++) numbers[sources[run] ?? 0] = 0;
}

function renumber(sources: Uint16Array, numbers: Int32Array): void {
  for (let run = 0; run < sources.length; run++) sources[run] = numbers[sources[run] ?? 0] ?? 0;
}
