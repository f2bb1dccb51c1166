import type { LeftOutPages } from '../../engine/list/left-out.ts';

/**
 * A finder knows one kind of program and finds the pages in its memory that are copies of its files. InnoDB is one; any
 * other program that caches files in memory of its own is added by a further finder (and its line in finders.ts).
 */
export interface PageFinder {
  /** The running programs of this kind. */
  programs(): Promise<readonly CachingProgram[]>;
}

export interface CachingProgram {
  readonly pid: number;
  /** "mariadb 10.11.19-MariaDB", for messages. */
  readonly description: string;
  /** Whether it has started: a program that is still filling its memory has little to list, and is slowed by being asked. */
  isReady(): boolean;
  /** Makes more pages equal to their file, by having dirty ones written. @throws GuestError 'clean-failed' */
  writeDirtyPages(): Promise<void>;
  /** @throws GuestError */
  findPages(): Promise<CachedPages>;
}

/** Pages in the memory of one process, as structure of arrays, in ascending order of address. */
export interface CachedPages {
  readonly pid: number;
  /** A multiple of 4096. Pages are aligned to 4096, in memory and in their file. */
  readonly pageSizeBytes: number;
  readonly count: number;
  /** Virtual address in the process. */
  readonly address: Float64Array;
  /** Index into `files`. */
  readonly file: Uint32Array;
  /** Byte offset in the file / pageSizeBytes. */
  readonly page: Uint32Array;
  /** Paths that the agent can open. */
  readonly files: readonly string[];
  readonly server: {
    readonly product: 'mariadb' | 'mysql' | 'other';
    readonly version: string;
    readonly method: 'descriptors' | 'scan';
    /** All cached pages, listed or not. */
    readonly cachedPages: number;
    /** Not listed, because they differ from their file. */
    readonly dirtyPages: number;
    /** Not listed, because their file holds them in another form, or is not known. */
    readonly excludedPages: number;
  };
  /** Why those are not among these. */
  readonly leftOut: LeftOutPages;
}
