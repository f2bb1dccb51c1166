/**
 * The page list: which pages of guest memory are copies of blocks on shared storage. The guest agent makes it, the
 * source engine uses it. It is a hint and is never trusted: the engines compare content before they rely on an entry.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { LeftOutPages } from './left-out.ts';

/** Unit of every frame and block number here, in bytes: the size of a page in QEMU's x86 migration stream. */
export const pageSizeBytes = 4096;
/** Pages of guest memory in one of InnoDB's usual size: who waits for one of them is likely to want the others. */
export const innodbPages = 4;

/** Where listed blocks lie: a disk of the VM (offsets on the device), or a file on a file system that is shared anyway. */
export type PageSource =
  | {
      readonly kind: 'disk';
      /** Serial number of the virtio disk, else its name in the guest ("vda"). */ readonly disk: string;
    }
  | {
      readonly kind: 'file';
      /** "server:/export", as the guest mounted it. */ readonly fileSystem: string;
      /** Path below the mount point. */ readonly path: string;
    };

/** A source as people are told of it. */
export function nameOf(source: PageSource): string {
  return source.kind === 'disk' ? source.disk : `${source.fileSystem}:${source.path}`;
}

/**
 * Runs of pages, structure of arrays: first those of hot pages, then those of cold ones, both sorted by (sourceIndex, storageBlock).
 * Run i says: the `count[i]` guest page frames from `guestFrame[i]` on hold the `count[i]` blocks of source `sourceIndex[i]` from
 * `storageBlock[i]` on.
 */
export interface PageRuns {
  /** The runs from this one on are of cold pages, which their program has not used for a while. */
  readonly firstColdRun: number;
  readonly sourceIndex: Uint16Array;
  /** Byte offset on the source / 4096. */
  readonly storageBlock: Uint32Array;
  /** Guest-physical address / 4096. */
  readonly guestFrame: Uint32Array;
  readonly count: Uint16Array;
}

export type RunColumns = Omit<PageRuns, 'firstColdRun'>;

/** Room for so many runs, none of them cold; memory is taken only for those that are written. */
export function emptyRuns(length: number): PageRuns {
  return {
    firstColdRun: length,
    sourceIndex: new Uint16Array(length),
    storageBlock: new Uint32Array(length),
    guestFrame: new Uint32Array(length),
    count: new Uint16Array(length),
  };
}

export interface PageList {
  readonly sources: readonly PageSource[];
  readonly runs: PageRuns;
  /** Sum of all counts. */
  readonly pageCount: number;
  /**
   * Programs of which it is not known which pages are cold, and why: all of theirs count as hot. Absent where hot pages were not asked to
   * come first, or the agent does not know of it.
   */
  readonly heatUnknown?: readonly string[];
  /** "System RAM" of the guest's /proc/iomem as page frames [first, last], to map guest frames to offsets in the RAM block. */
  readonly guestRam: readonly (readonly [firstFrame: number, lastFrame: number])[];
  /** How long each phase took in the guest, in ms (the paper's Figure 18), and what was found. */
  readonly timings: {
    readonly findMs: number;
    readonly translateMs: number;
    readonly mapMs: number;
    readonly encodeMs: number;
  };
  readonly server: {
    readonly product: 'mariadb' | 'mysql' | 'postgresql' | 'other';
    readonly version: string;
    /** How pages were found: the table of descriptor layouts, or frames by header and checksum. */
    readonly method: 'descriptors' | 'scan';
    readonly cachedPages: number;
    readonly dirtyPages: number;
    readonly excludedPages: number;
  };
  /** Cached pages that are not in the list. */
  readonly leftOut: LeftOutPages;
  /** Programs whose pages are not in it, or not as was asked: what failed with one leaves the others in. */
  readonly failures: readonly ListFailure[];
}

export interface ListFailure {
  /** "mariadb 10.11.19-MariaDB (pid 700)" */
  readonly program: string;
  readonly code: string;
  readonly message: string;
}

/** A list that cannot be read. */
export function malformed(what: string, cause?: unknown): CodedError<'page-list'> {
  return new CodedError('page-list', 'malformed', `not a valid page list: ${what}`, { cause });
}
