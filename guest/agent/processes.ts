/** Processes by the name of their program: anybody can start one of any name. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { systemErrorCode } from './guest-error.ts';

export interface NamedProcess {
  readonly pid: number;
  readonly parentPid: number;
  /** Path of the program, as it was started. */
  readonly program: string;
  /** Tells this process from an earlier one with its number. */
  readonly startTicks: string;
  readonly residentPages: number;
  /** Whom it runs as, in the agent's user namespace. */
  readonly userId: number;
  readonly groupId: number;
}

/** @param names of programs, without their folders */
export function findProcesses(names: ReadonlySet<string>): NamedProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => inspect(Number(entry), names) ?? []);
}

function inspect(pid: number, names: ReadonlySet<string>): NamedProcess | undefined {
  try {
    const program = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
    if (!names.has(basename(program))) return undefined;
    // proc_pid_stat(5): the program's name, in brackets, may hold spaces; parent, start time and resident pages are fields 4, 22, 24.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return {
      pid,
      parentPid: Number(fields[1]),
      program,
      startTicks: fields[19] ?? '',
      residentPages: Number(fields[21]),
      userId: Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1]),
      groupId: Number(/^Gid:\s+\d+\s+(\d+)/m.exec(status)?.[1]),
    };
  } catch (error) {
    // Ended meanwhile, a kernel thread, which has no program, or one whose user put it deeper than a path is long.
    if (systemErrorCode(error) !== undefined) return undefined;
    throw error;
  }
}

/** Servers of a kind that are looked at: anybody can start any number of processes of any name. */
const maxServers = 16;

/** The first that are looked at, of each user those with the most memory, and the process ids of the others. */
export function largest<Process extends NamedProcess>(
  processes: readonly Process[],
  most = maxServers,
): { readonly looked: readonly Process[]; readonly others: readonly number[] } {
  const inTurn = fairly([...processes].sort((a, b) => b.residentPages - a.residentPages));
  return { looked: inTurn.slice(0, most), others: inTurn.slice(most).map(({ pid }) => pid) };
}

/** Users below are the system's own, such as a server's (SYS_UID_MAX of login.defs(5)); a person can have thousands (subuid(5)). */
const firstPersonsId = 1000;

export const isPersons = (userId: number): boolean => !(userId < firstPersonsId);

/**
 * First what the system's own users run, then what others do, and of each one after the other of each user: anybody can start any
 * number of processes of any name, and the list's time and the number of servers that are looked at are bounded.
 */
export function fairly<Program extends { readonly userId?: number }>(
  programs: readonly Program[],
): Program[] {
  const counts = new Map<number | undefined, number>();
  const ranked = programs.map((program) => {
    const { userId } = program;
    const turn = counts.get(userId) ?? 0;
    counts.set(userId, turn + 1);
    return { program, turn, isLater: Number(userId !== undefined && isPersons(userId)) };
  });
  ranked.sort((a, b) => a.isLater - b.isLater || a.turn - b.turn);
  return ranked.map(({ program }) => program);
}
