/** Which file holds a page, from its tag alone: names of files are the numbers in the tag (src/common/relpath.c). */
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Deadline } from '../deadline.ts';
import { systemErrorCode } from '../guest-error.ts';
import { entriesOf } from '../safe-files.ts';
import { blockBytes } from './page-format.ts';

/** OIDs of pg_default and pg_global (src/include/catalog/pg_tablespace.dat). */
const defaultSpace = 1663;
const globalSpace = 1664;
/** Main, free space map, visibility map, and what an unlogged table begins with (src/common/relpath.c). */
const forkSuffixes = ['', '_fsm', '_vm', '_init'] as const;
/** A file has 1 GiB (RELSEG_SIZE), as every package builds it. */
export const blocksPerFile = 2 ** 30 / blockBytes;
/** Of one server: what calls itself one can name any number, by paths as long as it likes. */
const maxFiles = 200_000;
const maxPathLength = 32 * 1024 * 1024;
/** Folders of databases, or of tablespaces that are not there. */
const maxFolders = 10_000;
/** Names looked at in a tablespace's folder, where a server of each version has one. */
const maxVersions = 10_000;
/**
 * In place of a file's number: not known; or a free space map, whose fp_next_slot the server changes in memory without
 * marking the page as dirty (src/backend/storage/freespace/fsmpage.c).
 */
const noFile = -1;
const freeSpaceMap = -2;
/** Nor this: of more files or databases than are looked at. */
const beyondLimits = -3;
const freeSpaceMapFork = 1;

export interface TaggedPages {
  readonly count: number;
  readonly space: Uint32Array;
  readonly database: Uint32Array;
  readonly relation: Uint32Array;
  readonly fork: Uint32Array;
  readonly block: Uint32Array;
}

/** Where a server's files lie. */
export interface DataDirectory {
  /** As the agent can open it. */
  readonly path: string;
  /** "17", of PG_VERSION. */
  readonly majorVersion: string;
  /** Gives the agent's path of a path in the server's root. */
  readonly within: (path: string) => string;
}

/** Numbers of the tags' files as they are found. */
export class RelationFiles {
  readonly #directory: DataDirectory;
  /** By folder, numbers of files by what their names are made of. */
  readonly #files = new Map<string, Map<number, number>>();
  readonly #folderPaths = new Map<string, string | undefined>();
  /** In the order of their numbers. */
  readonly paths: string[] = [];
  #pathLength = 0;

  constructor(directory: DataDirectory) {
    this.#directory = directory;
  }

  /**
   * Puts the file of each page into `file`, a number of `paths` or below 0, and its page in that file into `page`.
   * @returns how many are of free space maps, of files that are not known, and of more files than are looked at
   * @throws GuestError 'too-slow'
   */
  assign(
    pages: TaggedPages,
    file: Int32Array,
    page: Uint32Array,
    deadline: Deadline,
  ): { readonly freeSpaceMaps: number; readonly unknown: number; readonly beyond: number } {
    let freeSpaceMaps = 0;
    let unknown = 0;
    let beyond = 0;
    let last = noFile;
    const { space, database, relation, fork, block } = pages;
    for (let index = 0; index < pages.count; index++) {
      const segment = Math.floor((block[index] ?? 0) / blocksPerFile);
      // Pages of one relation mostly stand together.
      const isAsBefore =
        index > 0 &&
        relation[index] === relation[index - 1] &&
        fork[index] === fork[index - 1] &&
        database[index] === database[index - 1] &&
        space[index] === space[index - 1] &&
        segment === Math.floor((block[index - 1] ?? 0) / blocksPerFile);
      if (!isAsBefore) {
        deadline.check();
        last = this.#fileOf(
          space[index] ?? 0,
          database[index] ?? 0,
          relation[index] ?? 0,
          fork[index] ?? 0,
          segment,
        );
      }
      file[index] = last;
      page[index] = (block[index] ?? 0) % blocksPerFile;
      if (last === freeSpaceMap) freeSpaceMaps++;
      else if (last === beyondLimits) beyond++;
      else if (last < 0) unknown++;
    }
    return { freeSpaceMaps, unknown, beyond };
  }

  #fileOf(space: number, database: number, relation: number, fork: number, segment: number): number {
    if (fork === freeSpaceMapFork) return freeSpaceMap;
    const suffix = forkSuffixes[fork];
    if (suffix === undefined) return noFile;
    const folderKey = `${space}/${database}`;
    if (!this.#folderPaths.has(folderKey) && this.#folderPaths.size === maxFolders) return beyondLimits;
    const folder = this.#folderOf(space, database, folderKey);
    if (folder === undefined) return noFile;
    let files = this.#files.get(folderKey);
    if (files === undefined) this.#files.set(folderKey, (files = new Map<number, number>()));
    // 32, 2 and 19 bits: exact in a double.
    const key = (segment * forkSuffixes.length + fork) * 2 ** 32 + relation;
    const known = files.get(key);
    if (known !== undefined) return known;
    const path = join(folder, `${relation}${suffix}${segment === 0 ? '' : `.${segment}`}`);
    if (this.paths.length === maxFiles || this.#pathLength + path.length > maxPathLength) return beyondLimits;
    this.#pathLength += path.length;
    const number = this.paths.push(path) - 1;
    files.set(key, number);
    return number;
  }

  #folderOf(space: number, database: number, key: string): string | undefined {
    if (!this.#folderPaths.has(key)) this.#folderPaths.set(key, this.#findFolder(space, database));
    return this.#folderPaths.get(key);
  }

  #findFolder(space: number, database: number): string | undefined {
    const { path, majorVersion, within } = this.#directory;
    if (space === globalSpace) return join(path, 'global');
    if (space === defaultSpace) return join(path, 'base', String(database));
    try {
      // A link from the data directory, to be followed in the server's root.
      const link = join(path, 'pg_tblspc', String(space));
      const target = readlinkSync(link);
      const place = target.startsWith('/') ? within(target) : join(link, '..', target);
      let looked = 0;
      for (const { name } of entriesOf(place, Infinity)) {
        if (++looked > maxVersions) return undefined;
        if (name.startsWith(`PG_${majorVersion}_`)) return join(place, name, String(database));
      }
    } catch (error) {
      // Dropped meanwhile, or never there.
      if (systemErrorCode(error) === undefined) throw error;
    }
    return undefined;
  }
}
