/** Finds running MariaDB and MySQL servers. */
import { Deadline } from '../deadline.ts';
import { findProcesses, largest } from '../processes.ts';
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

/** For all their programs: of those that are not read by then the version is not known, this time. */
const programsMs = 10_000;

/** By process, since reading one's program takes a while. */
let programs = new Map<string, ServerProgram>();

interface FoundServers {
  readonly servers: readonly ServerProcess[];
  /** Processes that are not looked at. */
  readonly others: readonly number[];
}

/** The running servers, of each user those with the most memory first. */
export async function findServers(
  deadline = new Deadline(programsMs),
  processes = findProcesses(serverPrograms),
): Promise<FoundServers> {
  const { looked, others } = largest(processes);
  const servers: ServerProcess[] = [];
  const running: typeof programs = new Map();
  for (const { pid, startTicks, userId, residentPages, program } of looked) {
    const key = `${pid}:${startTicks}`;
    const known = programs.get(key);
    const read = known ?? (await readServerProgram(pid, program, deadline));
    if (known !== undefined || deadline.remainingMs > 0) running.set(key, read);
    servers.push({ pid, startTicks, userId, residentPages, ...read });
  }
  programs = running;
  return { servers, others };
}
