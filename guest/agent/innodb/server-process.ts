/** Finds running MariaDB and MySQL servers. */
import { findProcesses } from '../processes.ts';
import { readServerProgram, type ServerProgram } from './server-program.ts';

export interface ServerProcess extends ServerProgram {
  readonly pid: number;
  /** Tells this process from an earlier one with its number. */
  readonly startTicks: string;
  /** Whom it runs as, in the agent's user namespace. */
  readonly userId: number;
  readonly residentPages: number;
}

const serverPrograms = new Set(['mariadbd', 'mysqld']);

/** Anybody can start any number of processes of these names; the largest ones are looked at. */
const maxServers = 16;

/** By process, since reading one's program takes a while. */
let programs = new Map<string, ServerProgram>();

/** The running servers, those with the most memory first. */
export async function findServers(): Promise<ServerProcess[]> {
  const found = findProcesses(serverPrograms)
    .sort((a, b) => b.residentPages - a.residentPages)
    .slice(0, maxServers);
  const servers: ServerProcess[] = [];
  const running: typeof programs = new Map();
  for (const { pid, startTicks, userId, residentPages, program } of found) {
    const key = `${pid}:${startTicks}`;
    const known = programs.get(key) ?? (await readServerProgram(pid, program));
    running.set(key, known);
    servers.push({ pid, startTicks, userId, residentPages, ...known });
  }
  programs = running;
  return servers;
}
