/** Linux's account of the memory: Documentation/filesystems/proc.rst. */

/** Bytes by the names that /proc/meminfo gives them. */
export function parseMeminfo(text: string): ReadonlyMap<string, number> {
  return new Map(
    [...text.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name = '', kib]) => [name, Number(kib) * 1024]),
  );
}

/** Pages of files and of the block device; those of tmpfs, which no storage has, are counted as cached by Linux, too. */
export function pageCacheBytes(meminfo: ReadonlyMap<string, number>): number {
  const of = (name: string): number => meminfo.get(name) ?? 0;
  return Math.max(0, of('Cached') + of('Buffers') - of('Shmem'));
}
