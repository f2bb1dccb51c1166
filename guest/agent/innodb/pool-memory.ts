/** Which of a server's memory areas may hold a buffer pool. */
import type { Mapping } from '../process-memory.ts';

/** The smallest pool is 5 MiB (MySQL) or 2 MiB; smaller areas are buffers and stacks. */
const minBytes = 2 * 1024 * 1024;

/**
 * Writable areas that belong to no file, or to huge pages (which the kernel gives a deleted file as name). The heap is
 * left out, for stale copies of pages lie there. Address space that is only reserved is not readable, so not writable.
 */
export function poolMemory(mappings: readonly Mapping[]): Mapping[] {
  return mappings.filter(
    ({ start, end, permissions, kind, path }) =>
      permissions.startsWith('rw') &&
      end - start >= minBytes &&
      (kind === 'anonymous'
        ? path === '' || path.startsWith('[anon')
        : kind === 'kernel' && /^\/(anon_hugepage|SYSV)/.test(path)),
  );
}

/** Most pages that the areas can hold. */
export function capacityOf(areas: readonly Pick<Mapping, 'start' | 'end'>[], pageSizeBytes: number): number {
  return Math.ceil(areas.reduce((bytes, { start, end }) => bytes + end - start, 0) / pageSizeBytes);
}
