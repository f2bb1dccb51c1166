/**
 * Whether the target QEMU still lives. Without a return path it never says that it has everything: it closes its connection
 * both when it has and when it dies. Its process is the one that listens on the incoming socket (proc(5), /proc/net/unix).
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { identityOf, type ProcessIdentity } from '../../foundation/process-identity.ts';

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
    const identity = identityOf(Number(name));
    if (identity !== undefined) return identity;
  }
  return undefined;
}
