/**
 * Whether the target QEMU still lives. Without a return path it never says that it has everything: it closes its connection
 * both when it has and when it dies. Its process is the one that listens on the incoming socket (proc(5), /proc/net/unix).
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Since boot, in clock ticks: another process may get the pid. */
  readonly startTime: string;
}

/** Finds who has the unix socket `path` open; undefined where that cannot be seen from here. */
export function findListener(path: string): ProcessIdentity | undefined {
  try {
    const inode = listeningInode(readFileSync('/proc/net/unix', 'utf8'), path);
    return inode === undefined ? undefined : holderOf(`socket:[${inode}]`);
  } catch {
    return undefined;
  }
}

/** Inode of the socket that listens on `path`, from the text of /proc/net/unix. */
function listeningInode(table: string, path: string): string | undefined {
  // Num RefCount Protocol Flags Type St Inode Path; the flag __SO_ACCEPTCON marks a listener.
  for (const line of table.split('\n')) {
    const match = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.*)$/.exec(line);
    if (match?.[3] === path && (parseInt(match[1] ?? '', 16) & 0x10000) !== 0) return match[2];
  }
  return undefined;
}

function holderOf(link: string): ProcessIdentity | undefined {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const folder = `/proc/${name}/fd`;
      if (!readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`) === link)) continue;
    } catch {
      // It has ended, or is somebody else's.
      continue;
    }
    const startTime = runningSince(Number(name));
    if (startTime !== undefined) return { pid: Number(name), startTime };
  }
  return undefined;
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
