/** Where a server listens, and whether it accepts connections yet: it begins to when its pool is there. */
import { closeSync, fstatSync, openSync, readlinkSync } from 'node:fs';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { entriesOf, holdOnly, readProc } from './safe-files.ts';

/** proc_pid_net(5): column and value of the state in which a socket of that kind listens, and the column with its inode. */
const tables = [
  // TCP_LISTEN in include/net/tcp_states.h
  { file: 'tcp', state: 3, listening: '0A', inode: 9 },
  { file: 'tcp6', state: 3, listening: '0A', inode: 9 },
  // __SO_ACCEPTCON in include/uapi/linux/net.h, among the flags
  { file: 'unix', state: 3, listening: '00010000', inode: 6 },
] as const;

/** Tables with the other kinds of socket that servers have, and the column with the inode. */
const otherTables = [
  { file: 'udp', inode: 9 },
  { file: 'udp6', inode: 9 },
  { file: 'netlink', inode: 9 },
] as const;

const maxDescriptors = 200_000;

/** Whether the process has a socket, TCP or unix, that listens. False when it has ended. */
export function isListening(pid: number): boolean {
  try {
    const inodes = listeningInodes(pid);
    for (const inode of socketsOf(pid)) if (inodes.has(inode)) return true;
    return false;
  } catch (error) {
    // Ended meanwhile, mostly.
    if (error instanceof GuestError || systemErrorCode(error) !== undefined) return false;
    throw error;
  }
}

/**
 * Calls `connect` with a path of a unix socket on which a server listens; undefined without any. The kernel prints names of
 * sockets as they are, line feeds included, so that any user can have a line with a server's inode and a path of his. So an inode
 * that two lines have counts for nothing, and a path only if what is there is the server's user's own. That very socket is held
 * until `connect` returns, whoever changes the path meanwhile.
 *
 * @param isWanted tells of a path in the server's root
 */
export function atListeningSocket<Result>(
  { pid, userId }: { readonly pid: number; readonly userId: number },
  connect: (path: string) => Result,
  isWanted: (path: string) => boolean = () => true,
): Result | undefined {
  for (const path of listeningPaths(pid).filter(isWanted)) {
    const hold = holdSocket(`/proc/${pid}/root${path}`, userId);
    if (hold === undefined) continue;
    try {
      return connect(`/proc/self/fd/${hold}`);
    } finally {
      closeSync(hold);
    }
  }
  return undefined;
}

/** Undefined for what is no socket, or another user's. */
function holdSocket(path: string, userId: number): number | undefined {
  try {
    const hold = openSync(path, holdOnly);
    const found = fstatSync(hold);
    if (found.isSocket() && found.uid === userId) return hold;
    closeSync(hold);
  } catch (error) {
    // Gone, or a path that somebody made up.
    if (systemErrorCode(error) === undefined) throw error;
  }
  return undefined;
}

/** The unix sockets on which a process listens, as paths in its root. */
function listeningPaths(pid: number): string[] {
  const inodes = new Set(socketsOf(pid));
  const lines = new Map<string, number>();
  for (const { file, inode } of [...tables, ...otherTables])
    for (const columns of rowsOf(pid, file)) {
      const found = columns[inode] ?? '';
      lines.set(found, (lines.get(found) ?? 0) + 1);
    }
  // Num: RefCount Protocol Flags Type St Inode Path
  return rowsOf(pid, 'unix').flatMap(([, , , flags, , , inode = '', path = '']) =>
    flags === '00010000' && inodes.has(inode) && lines.get(inode) === 1 && path.startsWith('/') ? [path] : [],
  );
}

/** Inodes of the sockets that a process has open. */
function* socketsOf(pid: number): Generator<string> {
  const folder = `/proc/${pid}/fd`;
  for (const { name } of entriesOf(folder, maxDescriptors)) {
    const inode = /^socket:\[(\d+)\]$/.exec(readLink(`${folder}/${name}`))?.[1];
    if (inode !== undefined) yield inode;
  }
}

/** Empty for a file that was just closed, and for one that is deeper than a path is long. */
function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return '';
    throw error;
  }
}

/** Inodes of the listening sockets in the network namespace of a process. */
function listeningInodes(pid: number): Set<string> {
  const inodes = new Set<string>();
  for (const { file, state, listening, inode } of tables)
    for (const columns of rowsOf(pid, file)) {
      const found = columns[inode];
      if (columns[state] === listening && found !== undefined) inodes.add(found);
    }
  return inodes;
}

/** Rows of a table of the sockets in the network namespace of a process; none of one that a kernel without IPv6 does not have. */
function rowsOf(pid: number, table: string): readonly (readonly string[])[] {
  try {
    const lines = readProc(`/proc/${pid}/net/${table}`).split('\n');
    return lines.map((line) => line.trim().split(/\s+/));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
