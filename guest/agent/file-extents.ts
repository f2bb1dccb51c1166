/** Which bytes of a device hold which bytes of a file: FIEMAP, through e2fsprogs' filefrag (Node has no ioctl). */
import { closeSync } from 'node:fs';
import { pageSizeBytes } from '../../engine/list/page-list.ts';
import type { NoPlace } from './block-device.ts';
import type { Deadline } from './deadline.ts';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { openRegularFileSync } from './safe-files.ts';
import { findTrustedProgram, OverLimitError, runTrusted } from './trusted-program.ts';

/** A piece of a file that lies in one piece on its device, all numbers in 4096-byte blocks. */
export interface Extent {
  readonly logicalBlock: number;
  readonly physicalBlock: number;
  readonly count: number;
}

/** Where one file lies. */
export interface FileExtents {
  /** In the order of the file. */
  readonly extents: readonly Extent[];
  /** Some of its bytes lie on the device, and not at multiples of 4096 bytes. */
  readonly hasUnaligned: boolean;
  /**
   * A write into the file would not move or fill any of its blocks: there is no unwritten, delayed or shared one, nor can one become
   * shared, or be written to another place.
   */
  readonly isSettled: boolean;
}

/**
 * Flags that leave the device block a true copy of the file. All others do not: "unwritten" reads as zeros, "delalloc"
 * has no block yet, "inline", "encoded" and the like hold the bytes in another form.
 */
const plainFlags = new Set(['last', 'eof', 'merged', 'shared']);

/** As filefrag says them: EXT4_SUPER_MAGIC, of ext2 and ext3, too. XFS copies on write after a reflink, F2FS writes elsewhere each time. */
const inPlaceFileSystems = new Set(['ef53']);

/**
 * Reads what `filefrag -e -b1` prints: sizes and offsets in bytes, so that file systems with blocks below 4096 bytes
 * show whether an extent is aligned. Extents that are not, or whose blocks are no plain copy, are left out.
 */
export function parseFilefrag(text: string): ReadonlyMap<string, FileExtents> {
  const reader = new FilefragReader();
  reader.push(`${text}\n`);
  return reader.files;
}

/** The same, of a text that comes in pieces: one for many files is several times as large as what it says. */
class FilefragReader {
  readonly files = new Map<string, FileExtents>();
  /** Of which it has told all: it names a file first, and fails then where the file system does. */
  readonly whole = new Set<string>();
  #current: { extents: Extent[]; hasUnaligned: boolean; isSettled: boolean } | undefined;
  #writesInPlace = false;
  #rest = '';

  push(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#take(line);
  }

  #take(line: string): void {
    // Of the files that follow.
    const type = /^Filesystem type is: ([0-9a-f]+)$/.exec(line)?.[1];
    if (type !== undefined) this.#writesInPlace = inPlaceFileSystems.has(type);
    const file = /^File size of (.+) is \d+ \(\d+ blocks? of 1 bytes?\)$/.exec(line);
    if (file !== null) {
      this.#current = { extents: [], hasUnaligned: false, isSettled: this.#writesInPlace };
      this.files.set(file[1] ?? '', this.#current);
      return;
    }
    const whole = /^(.+): \d+ extents? found/.exec(line)?.[1];
    if (whole !== undefined) this.whole.add(whole);
    const current = this.#current;
    const row =
      /^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):(?:\s*\d+:)?\s*((?:[a-z_]+,?)*)\s*$/.exec(line);
    if (row === null || current === undefined) return;
    const [, logical, physical, length, flagText = ''] = row;
    const flags = flagText.split(',').filter((flag) => flag !== '');
    const isPlain = flags.every((flag) => plainFlags.has(flag));
    // Copy on write gives a shared block a new place.
    if (!isPlain || flags.includes('shared')) current.isSettled = false;
    if (!isPlain) return;
    const extent = alignedExtent(Number(logical), Number(physical), Number(length));
    if (extent === undefined) current.hasUnaligned = true;
    else current.extents.push(extent);
  }
}

function alignedExtent(logical: number, physical: number, length: number): Extent | undefined {
  if (logical % pageSizeBytes !== physical % pageSizeBytes) return undefined;
  const skipped = (pageSizeBytes - (logical % pageSizeBytes)) % pageSizeBytes;
  const count = Math.floor((length - skipped) / pageSizeBytes);
  if (count <= 0) return undefined;
  return {
    logicalBlock: (logical + skipped) / pageSizeBytes,
    physicalBlock: (physical + skipped) / pageSizeBytes,
    count,
  };
}

interface ExtentLimits {
  /** Files given to one filefrag. */
  readonly batchFiles: number;
  /** What one may print, and how long it may take: of a batch that needs more, each half is tried. */
  readonly maxOutputBytes: number;
  readonly timeoutMs: number;
  /** Pieces of all files together: each takes a hundred bytes of the agent's memory. */
  readonly maxExtents: number;
  /** Batches that may need more; any user can have files in that many pieces, and after these such a batch is left out whole. */
  readonly maxHalvings: number;
}

const usualLimits: ExtentLimits = {
  batchFiles: 500,
  // What 500 files in 500 pieces each take.
  maxOutputBytes: 32 * 1024 * 1024,
  maxExtents: 512 * 1024,
  timeoutMs: 60_000,
  maxHalvings: 64,
};
const minTimeoutMs = 5000;
/**
 * Says the same as of a file in too many pieces, of one that was not looked at in the list's time, or of which the file system did not
 * tell: the next list may have it.
 */
export const notRead: NoPlace = { leftOut: 'too-fragmented' };
const programPaths = ['/usr/sbin/filefrag', '/sbin/filefrag', '/usr/bin/filefrag'];

/**
 * Extents of each regular file; files that vanished meanwhile are missing, and what is not read in time is too fragmented.
 * @throws GuestError 'command-failed'
 */
export async function readExtents(
  paths: readonly string[],
  deadline: Deadline,
  limits: ExtentLimits = usualLimits,
): Promise<Map<string, FileExtents | NoPlace>> {
  const program = findTrustedProgram(programPaths);
  const all = new Map<string, FileExtents | NoPlace>();
  let halvings = 0;
  let extents = 0;
  const read = async (batch: readonly string[], timeoutMs: number): Promise<void> => {
    try {
      if (deadline.remainingMs === 0 || extents > limits.maxExtents) {
        for (const path of batch) all.set(path, notRead);
        return;
      }
      extents += await readBatch(program, batch, all, {
        ...limits,
        timeoutMs: Math.min(timeoutMs, deadline.remainingMs),
      });
    } catch (error) {
      if (!(error instanceof OverLimitError)) throw error;
      if (deadline.remainingMs > 0 && (batch.length === 1 || halvings === limits.maxHalvings)) {
        for (const path of batch) all.set(path, { leftOut: 'too-fragmented' });
        return;
      }
      halvings++;
      const middle = batch.length >>> 1;
      for (const half of [batch.slice(0, middle), batch.slice(middle)])
        await read(half, Math.max(minTimeoutMs, timeoutMs / 2));
    }
  };
  for (let start = 0; start < paths.length; start += limits.batchFiles)
    await read(paths.slice(start, start + limits.batchFiles), limits.timeoutMs);
  return all;
}

/** @returns how many extents they have @throws OverLimitError, and then none of them is in `all`; GuestError 'command-failed' */
async function readBatch(
  program: string,
  paths: readonly string[],
  all: Map<string, FileExtents | NoPlace>,
  limits: Pick<ExtentLimits, 'timeoutMs' | 'maxOutputBytes'>,
): Promise<number> {
  const files: { readonly path: string; readonly descriptor: number }[] = [];
  try {
    for (const path of paths) {
      const descriptor = openIfThere(path);
      if (descriptor !== undefined) files.push({ path, descriptor });
    }
    if (files.length === 0) return 0;
    const nameOf = (index: number): string => `/proc/self/fd/${index + 3}`;
    const reader = new FilefragReader();
    const { status, stderr } = await runTrusted(
      program,
      ['-e', '-b1', ...files.map((_, index) => nameOf(index))],
      files.map(({ descriptor }) => descriptor),
      limits,
      (text) => {
        reader.push(text);
      },
    );
    // A file that it cannot tell of gives a failing exit code, with all other files printed.
    if (reader.files.size === 0)
      throw new GuestError(
        'command-failed',
        `${program} shows no extents (exit ${status}): ${stderr.trim()}`,
      );
    let count = 0;
    for (const [index, { path }] of files.entries()) {
      const found = reader.files.get(nameOf(index));
      if (found === undefined) continue;
      all.set(path, reader.whole.has(nameOf(index)) ? found : notRead);
      count += found.extents.length;
    }
    return count;
  } finally {
    for (const { descriptor } of files) closeSync(descriptor);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openRegularFileSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}
