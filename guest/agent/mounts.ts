/** File systems that the guest mounts from a server: proc_pid_mountinfo(5). */

interface NetworkMount {
  /** "254:1" style number of its files' device. */
  readonly device: string;
  readonly mountPoint: string;
  /** "server:/export", as it was mounted. */
  readonly fileSystem: string;
  /** Folder of the file system that the mount shows: "/" unless it is a bind mount of a part. */
  readonly root: string;
}

/** NFS mounts of a mountinfo text. */
export function parseNetworkMounts(mountinfo: string): NetworkMount[] {
  const mounts: NetworkMount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, root, mountPoint] = left.split(' ');
    const [type, source] = right.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined || source === undefined)
      continue;
    if (type !== 'nfs' && type !== 'nfs4') continue;
    mounts.push({
      device,
      mountPoint: unescape(mountPoint),
      fileSystem: unescape(source),
      root: unescape(root),
    });
  }
  return mounts;
}

/** Spaces and the like stand as octal numbers in mountinfo. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** Which network file system a path lies on, and where in it; undefined for local files. */
export function placeOnNetwork(
  mounts: readonly NetworkMount[],
  device: string,
  path: string,
): { readonly fileSystem: string; readonly path: string } | undefined {
  const [mount] = mounts
    .filter((candidate) => candidate.device === device && isBelow(path, candidate.mountPoint))
    .sort((a, b) => b.mountPoint.length - a.mountPoint.length);
  if (mount === undefined) return undefined;
  const below = path.slice(mount.mountPoint === '/' ? 1 : mount.mountPoint.length + 1);
  const prefix = mount.root.slice(1);
  return { fileSystem: mount.fileSystem, path: prefix === '' ? below : `${prefix}/${below}` };
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
