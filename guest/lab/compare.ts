/** Compares what the agent says with the bytes, for tests. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { CachedPages } from '../agent/page-finder.ts';

export interface Comparison {
  readonly compared: number;
  readonly differing: number;
}

/** Memory at the virtual addresses that a finder gives, against the files at the places that it gives. */
export function compareWithFiles(pages: CachedPages): Comparison {
  const memory = openSync(`/proc/${pages.pid}/mem`, 'r');
  const files = new Map<number, number>();
  const inMemory = Buffer.alloc(pages.pageSizeBytes);
  const inFile = Buffer.alloc(pages.pageSizeBytes);
  let differing = 0;
  for (let index = 0; index < pages.count; index++) {
    const file = pages.file[index] ?? 0;
    const descriptor = files.get(file) ?? openSync(pages.files[file] ?? '', 'r');
    files.set(file, descriptor);
    readSync(memory, inMemory, 0, inMemory.length, pages.address[index] ?? 0);
    readSync(descriptor, inFile.fill(0), 0, inFile.length, (pages.page[index] ?? 0) * pages.pageSizeBytes);
    if (!inMemory.equals(inFile)) differing++;
  }
  for (const descriptor of files.values()) closeSync(descriptor);
  closeSync(memory);
  return { compared: pages.count, differing };
}
