/** Whether a server accepts connections yet: it begins to when its pool is there. */
import { readlinkSync } from 'node:fs';
import { GuestError, systemErrorCode } from '../guest-error.ts';
import { entriesOf, readProc } from '../safe-files.ts';

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
    const folder = `/proc/${pid}/fd`;
    for (const { name } of entriesOf(folder, maxDescriptors)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${name}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return true;
    }
    return false;
  } catch (error) {
    if (error instanceof GuestError) return false;
    const code = systemErrorCode(error);
    // The process, or a file of it that was just closed.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return false;
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
