/** Where the agent finds what a process names: below /proc/PID/root, which is the process's own root. */
import { readlinkSync } from 'node:fs';

/** Gives a function from what /proc says of the process's files, which is as the agent sees them or as the process does. */
export function pathsOf(pid: number): (path: string) => string {
  const root = `/proc/${pid}/root`;
  const processRoot = readlinkSync(root);
  return (path) =>
    processRoot !== '/' && path.startsWith(`${processRoot}/`)
      ? `${root}${path.slice(processRoot.length)}`
      : `${root}${path}`;
}
