/** Finds running MariaDB and MySQL servers. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { systemErrorCode } from '../guest-error.ts';

export interface ServerProcess {
  readonly pid: number;
  /** Tells this process from an earlier one with its number. */
  readonly startTicks: string;
  readonly product: 'mariadb' | 'mysql';
  /** "10.11.19-MariaDB-0+deb12u1", or "unknown" when the server's program does not tell. */
  readonly version: string;
}

const serverPrograms = new Set(['mariadbd', 'mysqld']);

/** Versions by process, since asking for one runs the server's program. */
let versions = new Map<string, { product: 'mariadb' | 'mysql'; version: string }>();

export async function findServers(): Promise<ServerProcess[]> {
  const servers: ServerProcess[] = [];
  const running: typeof versions = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    const server = inspect(pid);
    // The agent's own child is a server's program that is asked for its version.
    if (server === undefined || server.parentPid === process.pid) continue;
    const key = `${pid}:${server.startTicks}`;
    const known = versions.get(key) ?? (await readVersion(pid, server.program));
    running.set(key, known);
    servers.push({ pid, startTicks: server.startTicks, ...known });
  }
  versions = running;
  return servers;
}

function inspect(pid: number): { program: string; parentPid: number; startTicks: string } | undefined {
  try {
    const executable = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
    if (!serverPrograms.has(basename(executable))) return undefined;
    const root = readlinkSync(`/proc/${pid}/root`);
    const program =
      root !== '/' && executable.startsWith(`${root}/`) ? executable.slice(root.length) : executable;
    // proc_pid_stat(5): the program's name, in brackets, may hold spaces; the parent is field 4, the start time field 22.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { program, parentPid: Number(fields[1]), startTicks: fields[19] ?? '' };
  } catch (error) {
    // Ended meanwhile, or a kernel thread, which has no program.
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return undefined;
    throw error;
  }
}

async function readVersion(
  pid: number,
  program: string,
): Promise<{ product: 'mariadb' | 'mysql'; version: string }> {
  // In the server's own root: its libraries may be others than ours.
  const command = ['chroot', `/proc/${pid}/root`, program, '--no-defaults', '--version'] as const;
  let text = '';
  try {
    text = (await promisify(execFile)(command[0], command.slice(1), { timeout: 20_000 })).stdout;
  } catch {
    // A program that was replaced by an upgrade, or does not run: the layout is found without its version.
  }
  return parseVersion(text, program);
}

/** Reads "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)". */
export function parseVersion(
  text: string,
  program: string,
): { product: 'mariadb' | 'mysql'; version: string } {
  const version = /Ver (\d\S*)/.exec(text)?.[1] ?? 'unknown';
  const isMariadb = /mariadb/i.test(text) || basename(program) === 'mariadbd';
  return { product: isMariadb ? 'mariadb' : 'mysql', version };
}
