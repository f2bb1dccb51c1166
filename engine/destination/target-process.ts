/**
 * Whether the target QEMU still lives. Without a return path it never says that it has everything: it closes its connection
 * both when it has and when it dies. Its process is the one that listens on the incoming socket (proc(5), /proc/net/unix).
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { identityOf, type ProcessIdentity, userOf } from '../../foundation/process-identity.ts';

/**
 * Finds who listens at the unix socket `path`; undefined where that cannot be seen from here. The table has names as they were given: whoever
 * may make a socket can have a line there that says anything, so that it has to be a process of the file's owner, and the only one.
 */
export function findListener(path: string): ProcessIdentity | undefined {
  try {
    const owner = statSync(path).uid;
    const listeners = listeningInodes(readFileSync('/proc/net/unix', 'utf8'), path).flatMap(
      (inode) => holderOf(`socket:[${inode}]`, owner) ?? [],
    );
    return listeners.length === 1 ? listeners[0] : undefined;
  } catch {
    return undefined;
  }
}

/** Inodes of the sockets that listen on `path`, from the text of /proc/net/unix. */
export function listeningInodes(table: string, path: string): readonly string[] {
  // Num RefCount Protocol Flags Type St Inode Path; the flag __SO_ACCEPTCON marks a listener.
  const inodes = table.split('\n').flatMap((line) => {
    const match = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.*)$/.exec(line);
    return match?.[3] === path && (parseInt(match[1] ?? '', 16) & 0x10000) !== 0 ? [match[2] ?? ''] : [];
  });
  return [...new Set(inodes)];
}

function holderOf(link: string, owner: number): ProcessIdentity | undefined {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (userOf(Number(name)) !== owner) continue;
      const folder = `/proc/${name}/fd`;
      if (!readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`) === link)) continue;
    } catch {
      // It has ended, or is somebody else's.
      continue;
    }
    const identity = identityOf(Number(name));
    if (identity !== undefined) return identity;
  }
  return undefined;
}
