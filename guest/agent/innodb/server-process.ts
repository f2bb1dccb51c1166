/** Finds running MariaDB and MySQL servers. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { systemErrorCode } from '../guest-error.ts';
import { readServerProgram, type ServerProgram } from './server-program.ts';

export interface ServerProcess extends ServerProgram {
  readonly pid: number;
  /** Tells this process from an earlier one with its number. */
  readonly startTicks: string;
  /** Whom it runs as, in the agent's user namespace. */
  readonly userId: number;
}

const serverPrograms = new Set(['mariadbd', 'mysqld']);

/** Anybody can start any number of processes of these names; the largest ones are looked at. */
const maxServers = 16;

/** By process, since reading one's program takes a while. */
let programs = new Map<string, ServerProgram>();

/** The running servers, those with the most memory first. */
export async function findServers(): Promise<ServerProcess[]> {
  const found = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => inspect(Number(entry)) ?? [])
    .sort((a, b) => b.residentPages - a.residentPages)
    .slice(0, maxServers);
  const servers: ServerProcess[] = [];
  const running: typeof programs = new Map();
  for (const { pid, startTicks, userId, program } of found) {
    const key = `${pid}:${startTicks}`;
    const known = programs.get(key) ?? (await readServerProgram(pid, program));
    running.set(key, known);
    servers.push({ pid, startTicks, userId, ...known });
  }
  programs = running;
  return servers;
}

interface Inspected {
  readonly pid: number;
  readonly program: string;
  readonly startTicks: string;
  readonly residentPages: number;
  readonly userId: number;
}

function inspect(pid: number): Inspected | undefined {
  try {
    const program = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
    if (!serverPrograms.has(basename(program))) return undefined;
    // proc_pid_stat(5): the program's name, in brackets, may hold spaces; start time and resident pages are fields 22 and 24.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const userId = Number(/^Uid:\s+\d+\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    return { pid, program, startTicks: fields[19] ?? '', residentPages: Number(fields[21]), userId };
  } catch (error) {
    // Ended meanwhile, or a kernel thread, which has no program.
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return undefined;
    throw error;
  }
}
