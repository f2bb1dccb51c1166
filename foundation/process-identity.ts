/** Which process it was that had a pid (proc(5), /proc/PID/stat). */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Since boot, in clock ticks: another process may get the pid. */
  readonly startTime: string;
}

/** The process that has `pid` now; undefined where there is none that lives. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = runningSince(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return runningSince(pid) === startTime;
}

/** Start time of a process that is neither gone nor a zombie. */
function runningSince(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in brackets, may hold anything; the state is the first field behind it, the start time the 20th.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Effective user id of a process: of one that may not be dumped, /proc/PID itself is root's (proc(5)). @throws Error when it has ended */
export function userOf(pid: number): number {
  return Number(/^Uid:\t\d+\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
