/** File systems that the guest mounts from a server, or lays over each other: proc_pid_mountinfo(5). */

export interface Mount {
  /** "254:1" style number of its files' device. */
  readonly device: string;
  readonly mountPoint: string;
  /** Folder of the file system that the mount shows: "/" unless it is a bind mount of a part. */
  readonly root: string;
}

interface NetworkMount extends Mount {
  /** "server:/export", as it was mounted. */
  readonly fileSystem: string;
}

interface OverlayMount extends Mount {
  /** The folder with the files that were written, as whoever mounted it sees it: Docker, in the system's own root. */
  readonly upperFolder: string;
}

function* mountsOf(
  mountinfo: string,
): Generator<Mount & { readonly type: string; readonly source: string; readonly options: string }> {
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, root, mountPoint] = left.split(' ');
    const [type, source, options = ''] = right.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined) continue;
    if (type === undefined || source === undefined) continue;
    const place = { device, mountPoint: unescape(mountPoint), root: unescape(root) };
    yield { ...place, type, source: unescape(source), options };
  }
}

/** All mounts of a mountinfo text. */
export const parseMounts = (mountinfo: string): readonly Mount[] => [...mountsOf(mountinfo)];

/** NFS mounts of a mountinfo text. */
export function parseNetworkMounts(mountinfo: string): NetworkMount[] {
  const mounts: NetworkMount[] = [];
  for (const { type, source, device, mountPoint, root } of mountsOf(mountinfo))
    if (type === 'nfs' || type === 'nfs4') mounts.push({ device, mountPoint, root, fileSystem: source });
  return mounts;
}

/** Mounts of a mountinfo text by overlayfs, of those that can be written. */
export function parseOverlayMounts(mountinfo: string): OverlayMount[] {
  const mounts: OverlayMount[] = [];
  for (const { type, options, device, mountPoint, root } of mountsOf(mountinfo)) {
    const upper = /(?:^|,)upperdir=([^,]+)/.exec(options)?.[1];
    if (type === 'overlay' && upper !== undefined)
      mounts.push({ device, mountPoint, root, upperFolder: unescape(upper) });
  }
  return mounts;
}

/**
 * Devices of XFS file systems that have a realtime device, too (xfs_fs_show_options in fs/xfs/xfs_super.c): FIEMAP gives the blocks of a
 * file on either of them, and does not say on which.
 */
export function parseRealtimeDevices(mountinfo: string): ReadonlySet<string> {
  const devices = new Set<string>();
  for (const { type, options, device } of mountsOf(mountinfo))
    if (type === 'xfs' && /(?:^|,)rtdev=/.test(options)) devices.add(device);
  return devices;
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
  const found = placeBelow(mounts, device, path);
  return found === undefined ? undefined : { fileSystem: found.mount.fileSystem, path: found.below };
}

/** Path of a file's copy in the upper folder of an overlay; a file that was never written has none there. */
export function placeInUpper(
  mounts: readonly OverlayMount[],
  device: string,
  path: string,
): string | undefined {
  const found = placeBelow(mounts, device, path);
  return found === undefined ? undefined : `${found.mount.upperFolder}/${found.below}`;
}

/**
 * Paths at which a file is seen, one for each mount that shows its part of the file system and is not hidden there by another:
 * what a user mounts in a folder of his own (FUSE) is never asked.
 *
 * @param path from the file system's root on: "/lib/x"
 */
export function pathsBelow(mounts: readonly Mount[], device: string, path: string): readonly string[] {
  return mounts.flatMap((mount) => {
    if (mount.device !== device || !isBelow(path, mount.root)) return [];
    const below = mount.root === '/' ? path : path.slice(mount.root.length);
    const seenAt = mount.mountPoint === '/' ? below : mount.mountPoint + below;
    const innermost = mounts
      .filter(({ mountPoint }) => isBelow(seenAt, mountPoint))
      // Of those at one place the last is on top.
      .reduce((a, b) => (b.mountPoint.length >= a.mountPoint.length ? b : a), mount);
    return innermost === mount ? [seenAt] : [];
  });
}

/** The innermost mount of a device that a path lies in, and the path from the file system's root on. */
function placeBelow<Kind extends Mount>(
  mounts: readonly Kind[],
  device: string,
  path: string,
): { readonly mount: Kind; readonly below: string } | undefined {
  const [mount] = mounts
    .filter((candidate) => candidate.device === device && isBelow(path, candidate.mountPoint))
    .sort((a, b) => b.mountPoint.length - a.mountPoint.length);
  if (mount === undefined) return undefined;
  const below = path.slice(mount.mountPoint === '/' ? 1 : mount.mountPoint.length + 1);
  const prefix = mount.root.slice(1);
  return { mount, below: prefix === '' ? below : `${prefix}/${below}` };
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
