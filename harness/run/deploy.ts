/** Puts files of this machine where a host can read them. */
import path from 'node:path';
import { cacheRoot } from '../../scripts/cache.ts';
import { type Host, type HostName, type Testbed, hostFolder } from '../testbed/host.ts';

/** Path of the file on that host. Hosts of the local lab see the cache itself; others get a copy, once a run. */
export type Deploy = (localPath: string, host: HostName) => Promise<string>;

export function deployer(testbed: Testbed): Deploy {
  const copies = new Map<string, Promise<string>>();
  return (localPath, host) => {
    if (testbed.sharedCachePath !== undefined && localPath.startsWith(`${cacheRoot()}/`))
      return Promise.resolve(path.join(testbed.sharedCachePath, path.relative(cacheRoot(), localPath)));
    const key = `${host}:${localPath}`;
    const known = copies.get(key);
    if (known !== undefined) return known;
    // The cache names each file by what it was made from; the folder's name keeps equal file names apart.
    const remote = path.posix.join(
      hostFolder,
      path.basename(path.dirname(localPath)),
      path.basename(localPath),
    );
    const copy = testbed.hosts[host].copyTo(localPath, remote).then(() => remote);
    copies.set(key, copy);
    return copy;
  };
}

const copyTimeoutMs = 600_000;

/** Copies an image within a host, with its holes. @throws CodedError 'host' */
export async function copyImage(host: Host, from: string, to: string): Promise<void> {
  await host.run(`cp --sparse=always ${from} ${to}`, { timeoutMs: copyTimeoutMs });
}
