/** Which bytes of a device hold which bytes of a file: FIEMAP, through e2fsprogs' filefrag (Node has no ioctl). */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { pageSizeBytes } from '../../engine/pages/page-list.ts';
import { GuestError } from './guest-error.ts';

/** A piece of a file that lies in one piece on its device, all numbers in 4096-byte blocks. */
export interface Extent {
  readonly logicalBlock: number;
  readonly physicalBlock: number;
  readonly count: number;
}

/**
 * Flags that leave the device block a true copy of the file. All others do not: "unwritten" reads as zeros, "delalloc"
 * has no block yet, "inline", "encoded" and the like hold the bytes in another form.
 */
const plainFlags = new Set(['last', 'eof', 'merged', 'shared']);

/** Files given to one filefrag. */
const batchSize = 200;

/**
 * Reads what `filefrag -e -b1` prints: sizes and offsets in bytes, so that file systems with blocks below 4096 bytes
 * show whether an extent is aligned. Extents that are not, or whose blocks are no plain copy, are left out.
 */
export function parseFilefrag(text: string): Map<string, Extent[]> {
  const files = new Map<string, Extent[]>();
  let extents: Extent[] | undefined;
  for (const line of text.split('\n')) {
    const file = /^File size of (.+) is \d+ \(\d+ blocks? of 1 bytes?\)$/.exec(line);
    if (file !== null) {
      extents = [];
      files.set(file[1] ?? '', extents);
      continue;
    }
    const row =
      /^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):(?:\s*\d+:)?\s*((?:[a-z_]+,?)*)\s*$/.exec(line);
    if (row === null || extents === undefined) continue;
    const [, logical, physical, length, flags = ''] = row;
    if (flags.split(',').some((flag) => flag !== '' && !plainFlags.has(flag))) continue;
    const extent = alignedExtent(Number(logical), Number(physical), Number(length));
    if (extent !== undefined) extents.push(extent);
  }
  return files;
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

/** Extents of each file; files that vanished meanwhile are missing. @throws GuestError 'command-failed' */
export async function readExtents(paths: readonly string[]): Promise<Map<string, Extent[]>> {
  const all = new Map<string, Extent[]>();
  for (let start = 0; start < paths.length; start += batchSize) {
    const text = await runFilefrag(paths.slice(start, start + batchSize));
    for (const [path, extents] of parseFilefrag(text)) all.set(path, extents);
  }
  return all;
}

async function runFilefrag(paths: readonly string[]): Promise<string> {
  const environment = { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  try {
    const { stdout } = await promisify(execFile)('filefrag', ['-e', '-b1', ...paths], {
      env: environment,
      maxBuffer: 256 * 1024 * 1024,
      timeout: 60_000,
    });
    return stdout;
  } catch (cause) {
    // A file that was dropped since it was found gives a failing exit code, with all other files printed.
    const stdout = cause instanceof Error && 'stdout' in cause ? cause.stdout : undefined;
    if (typeof stdout === 'string' && (stdout !== '' || !paths.some((path) => existsSync(path))))
      return stdout;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GuestError(
      'command-failed',
      `filefrag (Debian package e2fsprogs) cannot show extents: ${reason}`,
      cause,
    );
  }
}
