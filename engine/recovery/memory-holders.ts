/** Which processes have a file in their memory (proc(5), /proc/PID/maps). */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { identityOf, type ProcessIdentity } from '../../foundation/process-identity.ts';

/** Of those into which this one may look. */
export function holdersOf(file: string): readonly ProcessIdentity[] {
  const { ino } = statSync(file);
  // Its path is that of another mount namespace, perhaps, and "(deleted)" stands behind it where it is.
  const inode = ` ${ino} `;
  const name = `/${path.basename(file)}`;
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      const holds = mapsOf(entry).some((line) => line.includes(inode) && line.includes(name));
      const identity = holds ? identityOf(Number(entry)) : undefined;
      return identity === undefined ? [] : [identity];
    });
}

function mapsOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  } catch {
    // It has ended, or is somebody else's.
    return [];
  }
}
