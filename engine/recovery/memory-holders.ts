/** Which processes have a file in their memory (proc(5), /proc/PID/maps). */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { identityOf, type ProcessIdentity } from '../../foundation/process-identity.ts';

/** Of those into which this one may look. */
export function holdersOf(file: string): readonly ProcessIdentity[] {
  const { dev, ino } = statSync(file);
  // Some file systems have another device here than stat(2) says; then the name must do, perhaps with "(deleted)" behind it.
  const onDevice = ` ${deviceName(dev)} ${ino} `;
  const [inode, name] = [` ${ino} `, `/${path.basename(file)}`];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      const holds = mapsOf(entry).some(
        (line) => line.includes(onDevice) || (line.includes(inode) && line.includes(name)),
      );
      const identity = holds ? identityOf(Number(entry)) : undefined;
      return identity === undefined ? [] : [identity];
    });
}

/** As /proc has it: major and minor number, hexadecimal. */
function deviceName(device: number): string {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return [major, minor].map((part) => part.toString(16).padStart(2, '0')).join(':');
}

function mapsOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  } catch {
    // It has ended, or is somebody else's.
    return [];
  }
}
