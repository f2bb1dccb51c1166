/** What limits of control groups leave of CPU time (cpu.max, cpu.stat: Documentation/admin-guide/cgroup-v2). */
import { readFileSync } from 'node:fs';
import path from 'node:path';

interface Group {
  readonly folder: string;
  usedUs: number;
}

/** Measures, from one call to the next, what the process's own group and those above it have left of their quotas. */
export class CpuQuota {
  readonly #groups: readonly Group[];
  readonly #nowMs: () => number;
  #beforeMs: number;

  /** @param root where groups are mounted, and what names the process's own, as /proc/self/cgroup does: of version 2 alone */
  constructor(
    root = '/sys/fs/cgroup',
    ownGroup = readOrEmpty('/proc/self/cgroup'),
    nowMs = () => performance.now(),
  ) {
    this.#nowMs = nowMs;
    this.#beforeMs = nowMs();
    const own = /^0::(\/.*)$/m.exec(ownGroup)?.[1];
    this.#groups = own === undefined ? [] : limitedGroups(root, own);
  }

  /** 0 to 1, of the group with the least, since the call before or the start; 1 without a quota. */
  leftShare(): number {
    const elapsedUs = (this.#nowMs() - this.#beforeMs) * 1000;
    if (elapsedUs <= 0) return 1;
    this.#beforeMs += elapsedUs / 1000;
    return this.#groups.reduce((least, group) => {
      const usedBeforeUs = group.usedUs;
      group.usedUs = usedUs(group.folder);
      const allowedUs = elapsedUs * allowedCpus(group.folder);
      return Math.min(least, Math.max(0, 1 - (group.usedUs - usedBeforeUs) / allowedUs));
    }, 1);
  }
}

/** A container sees its own group as the root, which then has a limit. */
function limitedGroups(root: string, own: string): readonly Group[] {
  const groups: Group[] = [];
  for (let group = own; ; group = path.dirname(group)) {
    const folder = path.join(root, group);
    if (allowedCpus(folder) < Infinity) groups.push({ folder, usedUs: usedUs(folder) });
    if (group === '/') return groups;
  }
}

/** `50000 100000` is half a CPU; `max 100000`, or no file, no limit. */
function allowedCpus(folder: string): number {
  const [, quota, period] = /^(\d+) (\d+)$/m.exec(readOrEmpty(path.join(folder, 'cpu.max'))) ?? [];
  return Number(quota) > 0 && Number(period) > 0 ? Number(quota) / Number(period) : Infinity;
}

function usedUs(folder: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readOrEmpty(path.join(folder, 'cpu.stat')))?.[1] ?? 0);
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
