/** File systems that the guest mounts from a server, or lays over each other: proc_pid_mountinfo(5). */

export interface Mount {
  readonly id: string;
  /** Mount that its mount point is on. */
  readonly parent: string;
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
    const [id, parent, device, root, mountPoint] = left.split(' ');
    const [type, source, options = ''] = right.split(' ');
    if (id === undefined || parent === undefined || device === undefined) continue;
    if (root === undefined || mountPoint === undefined || type === undefined || source === undefined)
      continue;
    const place = { id, parent, device, mountPoint: unescape(mountPoint), root: unescape(root) };
    yield { ...place, type, source: unescape(source), options };
  }
}

/** All mounts of a mountinfo text. */
export const parseMounts = (mountinfo: string): readonly Mount[] => [...mountsOf(mountinfo)];

/** NFS mounts of a mountinfo text. */
export function parseNetworkMounts(mountinfo: string): NetworkMount[] {
  const mounts: NetworkMount[] = [];
  for (const { type, source, options: _options, ...mount } of mountsOf(mountinfo))
    if (type === 'nfs' || type === 'nfs4') mounts.push({ ...mount, fileSystem: source });
  return mounts;
}

/** Mounts of a mountinfo text by overlayfs, of those that can be written. */
export function parseOverlayMounts(mountinfo: string): OverlayMount[] {
  const mounts: OverlayMount[] = [];
  for (const { type, options, source: _source, ...mount } of mountsOf(mountinfo)) {
    const upper = /(?:^|,)upperdir=([^,]+)/.exec(options)?.[1];
    if (type === 'overlay' && upper !== undefined) mounts.push({ ...mount, upperFolder: unescape(upper) });
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

/** Which network file system a path lies on, and where in it; undefined for local files. @param all mounts that there are */
export function placeOnNetwork(
  mounts: readonly NetworkMount[],
  all: readonly Mount[],
  device: string,
  path: string,
): { readonly fileSystem: string; readonly path: string } | undefined {
  const found = placeBelow(mounts, all, device, path);
  return found === undefined ? undefined : { fileSystem: found.mount.fileSystem, path: found.below };
}

/** Path of a file's copy in the upper folder of an overlay; a file that was never written has none there. @param all mounts that there are */
export function placeInUpper(
  mounts: readonly OverlayMount[],
  all: readonly Mount[],
  device: string,
  path: string,
): string | undefined {
  const found = placeBelow(mounts, all, device, path);
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
    return mountAt(mounts, seenAt) === mount ? [seenAt] : [];
  });
}

/** The mount that a path is seen on: from the root's on down, of those on one mount the outermost, as the kernel goes. */
function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  const all = mounts.filter(({ mountPoint }) => isBelow(path, mountPoint));
  // The root's own parent is itself, or not shown.
  const isRoot = ({ id, parent }: Mount): boolean =>
    id === parent || !mounts.some((one) => one.id === parent);
  let found: Mount | undefined;
  for (let next = all.filter(isRoot); next.length > 0;) {
    const on = next.reduce((a, b) => (b.mountPoint.length <= a.mountPoint.length ? b : a));
    next = all.filter((one) => one !== on && one.parent === on.id);
    found = on;
  }
  return found;
}

/** The mount of a device that a path is seen on, and the path from the file system's root on. */
function placeBelow<Kind extends Mount>(
  mounts: readonly Kind[],
  all: readonly Mount[],
  device: string,
  path: string,
): { readonly mount: Kind; readonly below: string } | undefined {
  const candidates = mounts.filter((one) => one.device === device && isBelow(path, one.mountPoint));
  const seenOn = candidates.length > 1 ? mountAt(all, path)?.id : candidates[0]?.id;
  const mount = candidates.find(({ id }) => id === seenOn);
  if (mount === undefined) return undefined;
  const below = path.slice(mount.mountPoint === '/' ? 1 : mount.mountPoint.length + 1);
  return { mount, below: [mount.root.slice(1), below].filter((part) => part !== '').join('/') };
}

/** Or there: files are mounted, too. */
function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
