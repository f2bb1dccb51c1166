/**
 * The cache of prepared things: hosts' rootfs, guest images, bundles. An entry is a folder that is named by what it was
 * made from, and that is either complete or not there. Entries that nothing has used for a while are removed whenever a new
 * one is made.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { seconds } from '../foundation/quantity.ts';
import { CodedError } from '../foundation/coded-error.ts';
import { takeLock } from './lock.ts';

export type Log = (line: string) => void;

interface PrepareOptions {
  /** What is prepared, as a file name: "rootfs", "guest-mariadb". */
  readonly name: string;
  /** Everything that the result depends on: versions, options, hashes of scripts. */
  readonly keyParts: readonly (string | number | boolean)[];
  /** Fills `dir`, an empty folder. If it throws, the folder is removed and nothing is cached. */
  readonly build: (dir: string, log: Log) => Promise<void>;
  readonly log: Log;
}

/** The folder of all prepared things; `POOLSHIFT_CACHE` names another. */
export function cacheRoot(): string {
  return path.resolve(process.env['POOLSHIFT_CACHE'] ?? '/var/cache/poolshift');
}

/**
 * Returns the folder of a prepared thing, and builds it first if there is none. Two processes that want the same thing
 * build it once: the second waits. A build that was killed leaves a partial folder, which the next one removes.
 *
 * @throws CodedError 'set-up', CodedError 'set-up', 'lock-failed'
 */
export async function prepare(options: PrepareOptions): Promise<string> {
  const { name, log } = options;
  const root = cacheRoot();
  const entry = `${name}-${entryKey(options.keyParts)}`;
  const finished = path.join(root, entry);
  await mkdir(root, { recursive: true });
  if (await markUsed(finished)) return finished;

  const lock = await takeLock(path.join(root, `.${entry}.lock`), (holder) => {
    log(`${name}: process ${holder} is building it; waiting`);
  });
  try {
    if (await markUsed(finished)) return finished;
    await removeLeftovers(root, entry);
    // A name of its own: what a killed build left running must not write into this one.
    const partial = await mkdtemp(path.join(root, `.${entry}.partial-`));
    await chmod(partial, 0o755);
    const startedAtMs = performance.now();
    log(`${name}: building (kept in ${finished})`);
    try {
      await options.build(partial, log);
    } catch (error) {
      await removeTree(partial);
      throw new CodedError('set-up', 'build-failed', `${name}: ${messageOf(error)}`, { cause: error });
    }
    await rename(partial, finished);
    log(`${name}: built in ${seconds(performance.now() - startedAtMs)}`);
    await removeUnused(root, log);
    return finished;
  } finally {
    await lock.release();
  }
}

/** SHA-256 of files' contents and of their paths below each given path; folders are walked. Goes into `keyParts`. */
export async function hashFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const given of paths) {
    for (const file of await filesBelow(given)) {
      const relative = path.relative(given, file);
      hash.update(`${path.basename(given)}/${relative}\0${(await stat(file)).size}\0`);
      for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    }
  }
  return hash.digest('hex');
}

function entryKey(keyParts: PrepareOptions['keyParts']): string {
  return createHash('sha256').update(JSON.stringify(keyParts)).digest('hex').slice(0, 16);
}

/** The time of last use stands in the folder's mtime. @returns whether there is such a folder */
async function markUsed(dir: string): Promise<boolean> {
  const now = new Date();
  try {
    await utimes(dir, now, now);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

const dayMs = 86_400_000;
/** Things of one name differ in what they were made from, and mostly the last of them are wanted. */
const unused = { maxMs: 14 * dayMs, keptOfOneName: 6, maxMsBeyondThese: dayMs } as const;

/**
 * Removes what was last used 14 days ago, and of more than six things of one name those that were last used a day ago: nothing
 * that takes a thing from here needs it for so long.
 */
async function removeUnused(root: string, log: Log): Promise<void> {
  const byName = new Map<string, { readonly dir: string; readonly unusedMs: number }[]>();
  for (const entry of await readdir(root)) {
    const name = /^([^.].*)-[0-9a-f]{16}$/.exec(entry)?.[1];
    const dir = path.join(root, entry);
    const usedMs = name === undefined ? undefined : await lastUseMs(dir);
    if (name === undefined || usedMs === undefined) continue;
    byName.set(name, [...(byName.get(name) ?? []), { dir, unusedMs: Date.now() - usedMs }]);
  }
  for (const entries of byName.values()) {
    const old = entries
      .sort((left, right) => left.unusedMs - right.unusedMs)
      .filter(
        ({ unusedMs }, newer) =>
          unusedMs > (newer < unused.keptOfOneName ? unused.maxMs : unused.maxMsBeyondThese),
      );
    for (const { dir } of old) {
      log(`${dir}: removed, for nothing has used it for a while`);
      await removeTree(dir);
    }
  }
}

/** Undefined when another process has removed it meanwhile. */
async function lastUseMs(dir: string): Promise<number | undefined> {
  try {
    return (await stat(dir)).mtimeMs;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

async function removeLeftovers(root: string, entry: string): Promise<void> {
  const leftovers = (await readdir(root)).filter((name) => name.startsWith(`.${entry}.partial-`));
  for (const name of leftovers) await removeTree(path.join(root, name));
}

/** Never crosses into another file system: a tree of a killed build may still have something mounted in it. */
async function removeTree(dir: string): Promise<void> {
  await $({ quiet: true })`rm -rf --one-file-system -- ${dir}`;
}

async function filesBelow(given: string): Promise<string[]> {
  if (!(await stat(given)).isDirectory()) return [given];
  const entries = await readdir(given, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
