/** Where a server listens, and whether it accepts connections yet: it begins to when its pool is there. */
import { readlinkSync } from 'node:fs';
import { GuestError, systemErrorCode } from './guest-error.ts';
import { entriesOf, readProc } from './safe-files.ts';

/** proc_pid_net(5): column and value of the state in which a socket of that kind listens, and the column with its inode. */
const tables = [
  // TCP_LISTEN in include/net/tcp_states.h
  { file: 'tcp', state: 3, listening: '0A', inode: 9 },
  { file: 'tcp6', state: 3, listening: '0A', inode: 9 },
  // __SO_ACCEPTCON in include/uapi/linux/net.h, among the flags
  { file: 'unix', state: 3, listening: '00010000', inode: 6 },
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

/** The unix sockets on which a process listens, as paths in its root. */
export function listeningPaths(pid: number): string[] {
  const inodes = new Set(socketsOf(pid));
  const paths: string[] = [];
  for (const line of readProc(`/proc/${pid}/net/unix`).split('\n')) {
    // Num: RefCount Protocol Flags Type St Inode Path
    const [, , , flags, , , inode = '', path] = line.trim().split(/\s+/);
    if (flags === '00010000' && inodes.has(inode) && path?.startsWith('/') === true) paths.push(path);
  }
  return paths;
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
  for (const { file, state, listening, inode } of tables) {
    for (const line of readTable(`/proc/${pid}/net/${file}`).split('\n')) {
      const columns = line.trim().split(/\s+/);
      const found = columns[inode];
      if (columns[state] === listening && found !== undefined) inodes.add(found);
    }
  }
  return inodes;
}

/** Empty when there is none, as for tcp6 in a kernel without IPv6. */
function readTable(path: string): string {
  try {
    return readProc(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
