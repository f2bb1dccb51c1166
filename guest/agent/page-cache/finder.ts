/** Clean pages of files in the page cache of the guest's kernel: of any program's files, and of what servers read twice. */
import { readFileSync } from 'node:fs';
import { type LeftOutPages, leaveOut } from '../../../engine/list/left-out.ts';
import { pageSizeBytes } from '../../../engine/list/page-list.ts';
import type { Deadline } from '../deadline.ts';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import { parseMounts } from '../mounts.ts';
import type { CachingProgram, FramePages, PageFinder } from '../page-finder.ts';
import { readProc } from '../safe-files.ts';
import { CachedFiles, type FileLayout, fileLayoutIn } from './cached-files.ts';
import { type DescriptionLayout, type FilePages, scanFrames, withFrameFlags } from './frame-scan.ts';
import { KernelMemory } from './kernel-memory.ts';
import { KernelTypes } from './kernel-types.ts';

/** 16 GiB, less where the agent has no memory for their list. */
const maxPages = 4 * 2 ** 20;
/** Of which pages are counted: about 60 bytes each. */
const maxCountedFiles = 500_000;
/** Those with the most pages: each costs a look at its names and at its place on the disk. */
const maxFiles = 20_000;
/** Of their paths, which users of the guest can make as long as they like. */
const maxPathLength = 16 * 1024 * 1024;
/** Of its pages: with fewer in its active list the kernel does without one (CONFIG_LRU_GEN), but for pages on their way. */
const minActiveShare = 1 / 64;
const kernelAddresses = 0xffff_0000_0000_0000n;

export class PageCacheFinder implements PageFinder<FramePages> {
  /** They do not change while the kernel runs. */
  #layout: KernelLayout | undefined;

  programs(): Promise<readonly CachingProgram<FramePages>[]> {
    const program: CachingProgram<FramePages> = {
      pid: process.pid,
      isKernel: true,
      description: "the kernel's page cache",
      isReady: () => true,
      writeDirtyPages: () => Promise.resolve(),
      findPages: (deadline, most = maxPages) =>
        Promise.resolve().then(() => this.#findPages(deadline, Math.min(most, maxPages))),
    };
    return Promise.resolve([program]);
  }

  /** @throws GuestError 'not-permitted', 'unknown-layout', 'too-slow' */
  #findPages(deadline: Deadline, most: number): FramePages {
    this.#layout ??= readLayout();
    const memory = new KernelMemory();
    try {
      const { frame, file } = this.#layout;
      const stretches = memory.frameDescriptions(frame.sizeBytes);
      const found = withFrameFlags((readFlags) =>
        scanFrames(
          (at, into) => {
            deadline.check();
            return readFlags(at, into);
          },
          memory,
          stretches,
          frame,
          most,
          maxCountedFiles,
        ),
      );
      return nameFiles(found, new CachedFiles(memory, file), deadline);
    } finally {
      memory.close();
    }
  }
}

interface KernelLayout {
  readonly frame: DescriptionLayout;
  readonly file: FileLayout;
}

/** @throws GuestError 'unknown-layout' */
function readLayout(): KernelLayout {
  const types = readTypes();
  return {
    frame: {
      sizeBytes: types.sizeOf('page'),
      mapping: types.offsetOf('folio', 'mapping'),
      index: types.offsetOf('folio', 'index'),
    },
    file: fileLayoutIn(types),
  };
}

function readTypes(): KernelTypes {
  try {
    return new KernelTypes(readFileSync('/sys/kernel/btf/vmlinux'));
  } catch (cause) {
    if (systemErrorCode(cause) === undefined) throw cause;
    throw new GuestError(
      'unknown-layout',
      'the kernel does not describe its types (/sys/kernel/btf/vmlinux)',
      cause,
    );
  }
}

/** Keeps the pages of files that have a path, as far as time allows. Takes over the columns of `scanned`: the pages that stay move forward. */
function nameFiles(scanned: FilePages, cachedFiles: CachedFiles, deadline: Deadline): FramePages {
  const { mappings, frames, file, page, cold } = scanned;
  const root = `/proc/${process.pid}/root`;
  const mounts = parseMounts(readProc(`/proc/${process.pid}/mountinfo`));
  const counts = new Uint32Array(mappings.length);
  countPages(file, scanned.count, counts);
  const largest = [...counts.keys()].sort((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0)).slice(0, maxFiles);
  const files: string[] = [];
  const numbers = new Int32Array(mappings.length).fill(-1);
  const leftOut: LeftOutPages = {};
  leaveOut(leftOut, 'dirty', scanned.dirty);
  leaveOut(leftOut, 'beyond-limits', scanned.beyond);
  let listed = 0;
  let pathLength = 0;
  for (const index of largest) {
    if (deadline.remainingMs === 0) break;
    listed += counts[index] ?? 0;
    const mapping = kernelAddresses | BigInt(mappings[index] ?? 0);
    const found = cachedFiles.pathOf(mapping, mounts, root);
    if (found.path === undefined) {
      leaveOut(leftOut, found.leftOut, counts[index] ?? 0);
      continue;
    }
    pathLength += found.path.length;
    if (pathLength > maxPathLength) {
      listed -= counts[index] ?? 0;
      break;
    }
    numbers[index] = files.length;
    files.push(found.path);
  }
  leaveOut(leftOut, 'beyond-limits', scanned.count - listed);
  const isHeatKnown = scanned.active >= minActiveShare * scanned.count;
  if (!isHeatKnown) cold.fill(0, 0, scanned.count);
  const count = keepNamed(frames, file, page, cold, scanned.count, numbers);
  return {
    pid: process.pid,
    pageSizeBytes,
    count,
    frames: frames.subarray(0, count),
    file: file.subarray(0, count),
    page: page.subarray(0, count),
    cold: cold.subarray(0, count),
    ...(isHeatKnown ? {} : { heatUnknown: 'it has no list of active pages (CONFIG_LRU_GEN)' }),
    files,
    leftOut,
  };
}

// Loops over pages get numbers and typed arrays alone (page-runs.ts says why).

function countPages(file: Uint32Array, pages: number, counts: Uint32Array): void {
  for (let at = 0; at < pages; at++) {
    const index = file[at] ?? 0;
    counts[index] = (counts[index] ?? 0) + 1;
  }
}

/** @param numbers new number of each file, or -1 @returns how many are kept */
function keepNamed(
  frames: Uint32Array,
  file: Uint32Array,
  page: Uint32Array,
  cold: Uint8Array,
  pages: number,
  numbers: Int32Array,
): number {
  let count = 0;
  for (let at = 0; at < pages; at++) {
    const number = numbers[file[at] ?? 0] ?? -1;
    if (number < 0) continue;
    frames[count] = frames[at] ?? 0;
    file[count] = number;
    page[count] = page[at] ?? 0;
    cold[count] = cold[at] ?? 0;
    count++;
  }
  return count;
}
