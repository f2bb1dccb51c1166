/** What this machine has to give to the local lab. */
import { readFile, statfs } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot } from '../../scripts/cache.ts';
import type { Machine } from '../run/plan.ts';

export async function localMachine(): Promise<Machine> {
  const meminfo = await readFile('/proc/meminfo', 'utf8');
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
  const { bavail, bsize } = await statfsOfNearest(cacheRoot());
  return { memoryAvailableBytes: available, diskAvailableBytes: bavail * bsize };
}

/** The cache may not be there yet. */
async function statfsOfNearest(folder: string): Promise<{ readonly bavail: number; readonly bsize: number }> {
  try {
    return await statfs(folder);
  } catch {
    return statfsOfNearest(path.dirname(folder));
  }
}
