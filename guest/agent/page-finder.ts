import type { LeftOutPages } from '../../engine/list/left-out.ts';
import type { Deadline } from './deadline.ts';
import { GuestError } from './guest-error.ts';

/**
 * A finder knows one kind of program and finds the pages in its memory that are copies of its files. InnoDB is one; any
 * other program that caches files in memory of its own is added by a further finder (and its line in finders.ts). The guest's
 * kernel is such a program, too.
 */
export interface PageFinder<Pages extends FoundPages = CachedPages> {
  /** The running programs of this kind. */
  programs(): Promise<readonly CachingProgram<Pages>[]>;
}

export interface CachingProgram<Pages extends FoundPages = CachedPages> {
  /** Whose memory the pages are in, and as whom their files are opened. */
  readonly pid: number;
  /** The kernel, which is no server: it always runs, and nobody waits for it. */
  readonly isKernel?: true;
  /** Whom it runs as; the kernel, as nobody. */
  readonly userId?: number;
  /** "mariadb 10.11.19-MariaDB", for messages. */
  readonly description: string;
  /** Whether it has started: a program that is still filling its memory has little to list, and is slowed by being asked. */
  isReady(): boolean;
  /** Makes more pages equal to their file, by having dirty ones written. @throws GuestError 'clean-failed' */
  writeDirtyPages(): Promise<void>;
  /**
   * @param maxPages of 4 KiB: of more than these only the first will be listed, so that a finder need not keep more
   * @throws GuestError
   */
  findPages(deadline: Deadline, maxPages?: number): Promise<Pages>;
}

/** Of processes, in a description. */
const maxNamed = 8;

/** In place of servers beyond those that are looked at, so that the list names what it lacks. */
export function notLookedAt(pids: readonly number[]): readonly CachingProgram[] {
  const [pid] = pids;
  if (pid === undefined) return [];
  const named = [...pids.slice(0, maxNamed), ...(pids.length > maxNamed ? ['...'] : [])].join(', ');
  return [
    {
      pid,
      description: `${pids.length} more servers of a kind (pid ${named})`,
      isReady: () => false,
      writeDirtyPages: () => Promise.resolve(),
      findPages: () =>
        Promise.reject(new GuestError('too-large', 'not looked at, as the largest of each kind are')),
    },
  ];
}

export type FoundPages = CachedPages | FramePages;

/** Pages as structure of arrays. */
export interface PagesOfFiles {
  readonly pid: number;
  /** A multiple of 4096. Pages are aligned to 4096, in memory and in their file. */
  readonly pageSizeBytes: number;
  readonly count: number;
  /** Index into `files`. */
  readonly file: Uint32Array;
  /** Byte offset in the file / pageSizeBytes. */
  readonly page: Uint32Array;
  /** 1 of pages that the program has not used for a while; 0 of the others, and of all where it is not known. */
  readonly cold: Uint8Array;
  /** Why it is not known, where it is not. */
  readonly heatUnknown?: string;
  /** Paths that the agent can open. */
  readonly files: readonly string[];
  /** Why others are not among these. */
  readonly leftOut: LeftOutPages;
}

/** Pages in the memory of one process, in ascending order of address. */
export interface CachedPages extends PagesOfFiles {
  /** Virtual address in the process. */
  readonly address: Float64Array;
  readonly server: {
    readonly product: 'mariadb' | 'mysql' | 'postgresql' | 'other';
    readonly version: string;
    readonly method: 'descriptors' | 'scan';
    /** All cached pages, listed or not. */
    readonly cachedPages: number;
    /** Not listed, because they differ from their file. */
    readonly dirtyPages: number;
    /** Not listed, because their file holds them in another form, or is not known. */
    readonly excludedPages: number;
  };
}

/** Pages of 4096 bytes whose page frames are known at once. */
export interface FramePages extends PagesOfFiles {
  readonly frames: Uint32Array;
}
