/**
 * Restores pages from one file with the destination engine's own reader and verification, on command.
 * Runs in a guest of the lab, whose kernel has what the lab's hosts lack (kernel-mount.lab.test.ts).
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { hashKeyBytes, PageHasher } from '../../list/content-hash.ts';
import { pageSizeBytes } from '../../list/page-list.ts';
import { openFileStorage } from '../file-storage.ts';
import { RestorePlan } from '../../core/restore-plan.ts';
import { Restorer } from '../../destination/restorer.ts';
import type { StorageReader } from '../storage-reader.ts';

/** With a key that both sides of the test know. */
export const restoreFileHasher = new PageHasher(Buffer.alloc(hashKeyBytes, 7));

export interface RestoreFileAnswer {
  /** Octal flags of the open file (Linux, Documentation/filesystems/proc.rst, fdinfo). */
  readonly openFlags: string;
  /** Line of /proc/mounts. */
  readonly mount: string;
  readonly restoredPages: number;
  readonly mismatchedPages: number;
  readonly unreadablePages: number;
  readonly storageBytes: number;
  /** Pages that were asked for. */
  readonly asked: readonly number[];
  readonly failures: readonly string[];
  /** SHA-256 of all pages in order, those that were asked for as zeros. */
  readonly sha256: string;
}

/** Keeps a file open, as an engine does for a migration, and restores page N of memory from its block N. */
export class FileRestore {
  readonly #path: string;
  readonly #mountPoint: string;
  readonly #storage: StorageReader;

  private constructor(path: string, mountPoint: string, storage: StorageReader) {
    this.#path = path;
    this.#mountPoint = mountPoint;
    this.#storage = storage;
  }

  static async open(path: string, mountPoint: string): Promise<FileRestore> {
    return new FileRestore(path, mountPoint, await openFileStorage(path));
  }

  /** @param hashes of `restoreFileHasher`, two halves for each page of the file */
  async restore(hashes: Uint32Array): Promise<RestoreFileAnswer> {
    const pageCount = hashes.length / 2;
    const plan = new RestorePlan();
    const runs = Uint32Array.of(0, 0, pageCount);
    plan.add({ blockIndex: 0, sourceIndex: 0, runs, hashes, pageCount }, pageCount, pageCount);
    const memory = Buffer.alloc(pageCount * pageSizeBytes);
    const asked: number[] = [];
    const failures: string[] = [];
    let resolve: () => void = () => undefined;
    let reject: (error: unknown) => void = () => undefined;
    const over = new Promise<void>((onOver, onError) => {
      resolve = onOver;
      reject = onError;
    });
    const storage = {
      reader: () => this.#storage,
      hash: restoreFileHasher,
      readFailed: (error: unknown) => void failures.push(String(error)),
    };
    const restorer = new Restorer(plan, storage, {
      canTake: true,
      take: (_block, page, buffer, offset) =>
        void buffer.copy(memory, page * pageSizeBytes, offset, offset + pageSizeBytes),
      taken: () => {
        if (plan.pendingPages === asked.length) resolve();
      },
      ask: (pages) => void asked.push(...pages.map(({ pageIndex }) => pageIndex)),
      fail: reject,
    });
    restorer.pump();
    await over;
    const { restoredPages, mismatchedPages, unreadablePages } = plan;
    const { storageBytes } = restorer;
    return {
      openFlags: await openFlags(this.#path),
      mount: await mountLine(this.#mountPoint),
      ...{ restoredPages, mismatchedPages, unreadablePages, storageBytes },
      asked: asked.sort((a, b) => a - b),
      failures,
      sha256: createHash('sha256').update(memory).digest('hex'),
    };
  }
}

async function openFlags(path: string): Promise<string> {
  for (const fd of await readdir('/proc/self/fd')) {
    if ((await readlink(`/proc/self/fd/${fd}`).catch(() => '')) !== path) continue;
    return /^flags:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
  }
  return '';
}

async function mountLine(mountPoint: string): Promise<string> {
  const lines = (await readFile('/proc/mounts', 'utf8')).split('\n');
  return lines.find((line) => line.split(' ')[1] === mountPoint) ?? '';
}
