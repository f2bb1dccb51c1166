/** provision.sh in a tree that mmdebstrap makes. */
import path from 'node:path';
import type { Log } from '../scripts/cache.ts';

export const provisionScript = path.join(import.meta.dirname, 'provision.sh');

/** Hooks (mmdebstrap(1)) that have the tree configured for these roles, and leave no keys and lists that are one machine's. */
export function provisionHooks(...roles: readonly string[]): readonly string[] {
  return [
    `upload ${provisionScript} /root/provision.sh`,
    ...roles.map((role) => `chroot "$1" bash /root/provision.sh ${role}`),
    'rm -rf "$1"/root/provision.sh "$1"/etc/ssh/ssh_host_* "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
    ': > "$1"/etc/machine-id',
  ];
}

/** Of all that a tree's packages say while they are installed, what shows how far it is. */
export function progressOnly(log: Log): Log {
  return (line) => {
    if (/^(?:I: (?!running --)|Need to get |changed )/.test(line)) log(line);
  };
}
