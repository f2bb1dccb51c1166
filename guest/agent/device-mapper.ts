/**
 * Where the kernel's device mapper puts the blocks of a device that is made of pieces of others, one after the other or in
 * stripes: what LVM makes of most volumes. Its tables come from dmsetup, for Node has no ioctl.
 */
import type { LeftOutReason } from '../../engine/list/left-out.ts';
import { GuestError } from './guest-error.ts';
import { findTrustedProgram, runTrusted } from './trusted-program.ts';

/** A stretch of a device. All numbers in 4096-byte blocks; a piece that is not striped has one stripe. */
export interface MappedPiece {
  readonly firstBlock: number;
  readonly count: number;
  /** Blocks of a stripe before the next one's turn. */
  readonly chunkBlocks: number;
  readonly stripes: readonly {
    /** "254:17" */
    readonly device: string;
    readonly firstBlock: number;
  }[];
}

const sectorsPerBlock = 8;
const programPaths = ['/usr/sbin/dmsetup', '/sbin/dmsetup'];

/** Reads the table of a device ("253:0"). Why not, where blocks are not told by its table, or nobody tells it. */
export async function readMapping(device: string): Promise<readonly MappedPiece[] | LeftOutReason> {
  const [major = '', minor = ''] = device.split(':');
  try {
    const { stdout, status } = await runTrusted(
      findTrustedProgram(programPaths),
      ['table', '-j', major, '-m', minor],
      [],
      { timeoutMs: 10_000, maxOutputBytes: 1024 * 1024 },
    );
    return status === 0 ? parseTable(stdout) : 'unknown-mapping';
  } catch (error) {
    if (error instanceof GuestError) return 'unknown-mapping';
    throw error;
  }
}

/** A table as `dmsetup table` prints it (dmsetup(8); Documentation/admin-guide/device-mapper), a line for each piece. */
export function parseTable(table: string): readonly MappedPiece[] | LeftOutReason {
  const pieces: MappedPiece[] = [];
  for (const line of table.split('\n').filter((text) => text !== '')) {
    const [start = '', length = '', target = '', ...words] = line.trim().split(/\s+/);
    if (target === 'crypt') return 'encrypted-disk';
    if (/^(raid|mirror)/.test(target)) return 'raid';
    if (target !== 'linear' && target !== 'striped' && target !== 'snapshot-origin') return 'remapped-device';
    const isStriped = target === 'striped';
    // What a snapshot is taken of stays where it is: what is overwritten goes to the snapshot (drivers/md/dm-snap.c, origin_map).
    const ofOrigin = [words[0] ?? '', start];
    const places = isStriped ? words.slice(2) : target === 'linear' ? words : ofOrigin;
    const stripeCount = isStriped ? Number(words[0]) : 1;
    if (!(stripeCount >= 1) || places.length < 2 * stripeCount) return 'unknown-mapping';
    const stripes = Array.from({ length: stripeCount }, (_, index) => ({
      device: places[2 * index] ?? '',
      firstBlock: Number(places[2 * index + 1]) / sectorsPerBlock,
    }));
    const count = Number(length) / sectorsPerBlock;
    // The last block of a device may be cut.
    const chunkBlocks = isStriped ? Number(words[1]) / sectorsPerBlock : Math.ceil(count);
    const firstBlock = Number(start) / sectorsPerBlock;
    const piece = { firstBlock, count: Math.floor(count), chunkBlocks, stripes };
    if (!stripes.every(({ device }) => /^\d+:\d+$/.test(device))) return 'unknown-mapping';
    const numbers = [piece.firstBlock, piece.chunkBlocks, ...stripes.map(({ firstBlock }) => firstBlock)];
    if (!numbers.every((number) => Number.isInteger(number) && number >= 0) || piece.chunkBlocks === 0)
      return 'unaligned';
    pieces.push(piece);
  }
  return pieces.length === 0 ? 'unknown-mapping' : pieces;
}
