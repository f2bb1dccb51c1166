/** What a machine's processors do with their time (proc_stat(5)). In a container, /proc/stat is the whole machine's. */
import { readFileSync } from 'node:fs';
import { CpuQuota } from './cpu-quota.ts';

interface CpuTicks {
  readonly busy: number;
  readonly total: number;
}

/** First line of /proc/stat: user nice system idle iowait irq softirq steal (guest time is within user). */
export function parseCpuTicks(stat: string): CpuTicks {
  const fields = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? '').split(' ').slice(0, 8).map(Number);
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { total, busy: total - (fields[3] ?? 0) - (fields[4] ?? 0) };
}

/** Measures, from one call to the next, how much of all processors' time nobody uses, or is left of a quota if that is less. */
export class IdleTime {
  #before = readTicks();
  readonly #quota = new CpuQuota();

  /** 0 to 1, since the call before or the start; 1 where it cannot be told. */
  share(): number {
    const before = this.#before;
    this.#before = readTicks();
    const total = this.#before.total - before.total;
    const left = this.#quota.leftShare();
    return total > 0 ? Math.min(left, Math.max(0, 1 - (this.#before.busy - before.busy) / total)) : left;
  }
}

function readTicks(): CpuTicks {
  try {
    return parseCpuTicks(readFileSync('/proc/stat', 'utf8'));
  } catch {
    return { busy: 0, total: 0 };
  }
}
