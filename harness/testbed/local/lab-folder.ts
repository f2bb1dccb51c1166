/** Where the local lab keeps what it leaves on the machine while it is up. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { cacheRoot } from '../../../scripts/cache.ts';

export const labFolder = '/run/poolshift';
/** Who may log in to hosts and guest. */
export const authorizedKeyPath = path.join(labFolder, 'id.pub');
/** The guest's own ssh key, which the lab's ssh configuration expects it to have. */
export const guestHostKeyPath = path.join(labFolder, 'guest_host_key');
export const sshConfigPath = path.join(labFolder, 'ssh_config');
/**
 * The disk images that the lab's NFS server exports. A lab in namespaces of its own, with another `/run`, does not know of this one,
 * and may share the cache with it: it has a folder of its own, too.
 */
export const exportFolder = (): string => path.join(cacheRoot(), `export-${statSync('/run').dev}`);
