/** Whether the kernel may back memory of the target by huge pages: the text of /proc/PID/smaps (proc(5)). */
import { readFileSync } from 'node:fs';
import { mappingsOf } from '../core/qemu-mappings.ts';
import { findListener } from './target-process.ts';

/**
 * Of a RAM block of `lengthBytes` of the QEMU that listens on the unix socket `incomingPath`; true where that cannot be seen
 * from here.
 */
export function mayGetHugePages(incomingPath: string, lengthBytes: number): boolean {
  const listener = findListener(incomingPath);
  if (listener === undefined) return true;
  try {
    return hugePagesMayBack(readFileSync(`/proc/${listener.pid}/smaps`, 'utf8'), lengthBytes);
  } catch {
    return true;
  }
}

/** Of a mapping of `lengthBytes`; true where none is found, or the kernel does not say (before Linux 5.0). */
export function hugePagesMayBack(smaps: string, lengthBytes: number): boolean {
  // Each mapping is a line as in maps, and lines with what is known of it.
  const mappings = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const ofBlock = mappings.filter((text) => mappingsOf(text, lengthBytes).length > 0);
  return ofBlock.length === 0 || ofBlock.some((text) => !/^THPeligible: +0$/m.test(text));
}
