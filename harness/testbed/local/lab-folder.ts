/** Where the local lab keeps what it leaves on the machine while it is up. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { cacheRoot } from '../../../scripts/cache.ts';

/** POOLSHIFT_LAB, such as "2", tells a lab from the machine's ordinary one, to be up beside it. */
const labName = ['poolshift', process.env['POOLSHIFT_LAB']].filter(Boolean).join('-');
export const labFolder = `/run/${labName}`;
/** Beside the folder, which comes and goes with the lab. */
export const labLockFile = `/run/lock/${labName}-lab.lock`;
export const labCgroups = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup'].map(
  (hierarchy) => path.join(hierarchy, labName),
);
/** Who may log in to hosts and guest. */
export const authorizedKeyPath = path.join(labFolder, 'id.pub');
/** The guest's own ssh key, which the lab's ssh configuration expects it to have. */
export const guestHostKeyPath = path.join(labFolder, 'guest_host_key');
export const sshConfigPath = path.join(labFolder, 'ssh_config');
/**
 * The disk images that the lab's NFS server exports. A lab in namespaces of its own, with another `/run`, does not know of this one,
 * and may share the cache with it: it has a folder of its own, too.
 */
export const exportFolder = (): string => path.join(cacheRoot(), `export-${statSync('/run').dev}-${labName}`);
