/** CPU and memory of the machine and of chosen processes. */
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { parseCpuTicks } from '../../foundation/processor-time.ts';
import type { Emit, Probe, ProbeConfig } from './report.ts';
import { nowMs } from './wall-clock.ts';

/** USER_HZ, which Linux fixes at 100 for user space on x86 and arm64 (proc_stat(5), `sysconf(_SC_CLK_TCK)`). */
const tickMs = 10;

/** CPU time of a process from /proc/PID/stat, in ms. The command name in it may hold anything, brackets too. */
export function parseProcessCpuMs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

/** A `Name:  123 kB` line of /proc/meminfo or /proc/PID/status, in bytes; 0 if it is not there (kernel threads). */
export function parseKilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
}

interface ProcessLoad {
  readonly cpuMs: number;
  readonly rssBytes: number;
}

async function processLoad(pid: number): Promise<ProcessLoad> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ]);
  return { cpuMs: parseProcessCpuMs(stat), rssBytes: parseKilobytes(status, 'VmRSS') };
}

/** CPU from the unit's cgroup, which also counts children that have ended; memory as the sum over its processes. */
async function unitLoad(unit: string): Promise<ProcessLoad> {
  const cgroup = `/sys/fs/cgroup/system.slice/${unit}`;
  const [cpuStat, pids] = await Promise.all([
    readFile(`${cgroup}/cpu.stat`, 'utf8'),
    readFile(`${cgroup}/cgroup.procs`, 'utf8'),
  ]);
  const loads = await Promise.all(
    pids
      .split('\n')
      .filter(Boolean)
      .map((pid) => processLoad(Number(pid)).catch(() => undefined)),
  );
  return {
    cpuMs: Number(/^usage_usec (\d+)/m.exec(cpuStat)?.[1] ?? 0) / 1000,
    rssBytes: loads.reduce((sum, load) => sum + (load?.rssBytes ?? 0), 0),
  };
}

export function startLoad(config: Extract<ProbeConfig, { probe: 'load' }>, emit: Emit): Probe {
  if (config.units !== undefined && !existsSync('/sys/fs/cgroup/system.slice')) {
    emit({ report: 'failed', at: nowMs(), probe: 'load', message: 'units need cgroup v2 at /sys/fs/cgroup' });
  }
  let before = parseCpuTicks(readFileSync('/proc/stat', 'utf8'));

  const tick = async (): Promise<void> => {
    const at = nowMs();
    const [stat, meminfo] = await Promise.all([
      readFile('/proc/stat', 'utf8'),
      readFile('/proc/meminfo', 'utf8'),
    ]);
    const now = parseCpuTicks(stat);
    const processes: Record<string, ProcessLoad> = {};
    const add = async (name: string, reading: Promise<ProcessLoad>): Promise<void> => {
      // A process that has not started yet, or has ended, has no figures.
      const load = await reading.catch(() => undefined);
      if (load !== undefined) processes[name] = load;
    };
    await Promise.all([
      ...Object.entries(config.pids ?? {}).map(([name, pid]) => add(name, processLoad(pid))),
      ...Object.entries(config.units ?? {}).map(([name, unit]) => add(name, unitLoad(unit))),
    ]);
    const elapsed = now.total - before.total;
    emit({
      report: 'load',
      at,
      cpuPercent: elapsed === 0 ? 0 : (100 * (now.busy - before.busy)) / elapsed,
      memAvailableBytes: parseKilobytes(meminfo, 'MemAvailable'),
      processes,
    });
    before = now;
  };

  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(tick);
  }, config.intervalMs ?? 1000);
  return {
    stop: async () => {
      clearInterval(timer);
      await running.then(tick);
    },
  };
}
