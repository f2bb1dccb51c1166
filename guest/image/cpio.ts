/**
 * Writes cpio archives in the "newc" format, which is what the kernel unpacks as an initial RAM file system
 * (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). Archives may follow one another in one file.
 */

export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode?: number; readonly content: Uint8Array }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly mode?: number;
      readonly major: number;
      readonly minor: number;
    };

const magic = '070701';
const trailer = 'TRAILER!!!';
const fileType = { directory: 0o040000, file: 0o100000, symlink: 0o120000, 'character-device': 0o020000 };
const defaultMode = { directory: 0o755, file: 0o644, symlink: 0o777, 'character-device': 0o600 };

/** One archive with the entries in the given order (a folder before what is in it), all owned by root. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => {
    const content =
      entry.kind === 'file'
        ? entry.content
        : entry.kind === 'symlink'
          ? Buffer.from(entry.target)
          : Buffer.alloc(0);
    const permissions = ('mode' in entry ? entry.mode : undefined) ?? defaultMode[entry.kind];
    return record({
      inode: index + 1,
      mode: fileType[entry.kind] | permissions,
      path: entry.path.replace(/^\/+/, ''),
      content,
      device: entry.kind === 'character-device' ? [entry.major, entry.minor] : [0, 0],
    });
  });
  parts.push(...record({ inode: 0, mode: 0, path: trailer, content: Buffer.alloc(0), device: [0, 0] }));
  return Buffer.concat(parts);
}

interface CpioRecord {
  readonly inode: number;
  readonly mode: number;
  readonly path: string;
  readonly content: Uint8Array;
  readonly device: readonly [major: number, minor: number];
}

function record({ inode, mode, path, content, device }: CpioRecord): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  const owner = 0;
  const links = 1;
  const modifiedAt = 0; // fixed, so that the same content gives the same archive
  const fields = [
    inode,
    mode,
    owner,
    owner,
    links,
    modifiedAt,
    content.length,
    0,
    0,
    ...device,
    name.length,
    0,
  ];
  const header = Buffer.from(magic + fields.map((field) => field.toString(16).padStart(8, '0')).join(''));
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

/** Name and content both end at a multiple of four bytes. */
export function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
