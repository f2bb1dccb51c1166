/** Why cached pages are not in a list, with their number: a list that is short must say what it lacks. */

export const leftOutReasons = {
  dirty: 'changed in memory and not written yet',
  compressed: 'ROW_FORMAT=COMPRESSED: the file holds them in another form',
  'page-compressed': 'compressed pages: the file holds them in another form',
  encrypted: 'encrypted tablespaces: the file holds them in another form',
  'page-size': 'of files whose header says another size of pages than the server’s',
  'unknown-tablespace': 'no file of their tablespace was found',
  'stale-checksum':
    'changed since they got their checksum: PostgreSQL puts a new one into the file alone, and none for hints that a standby sets',
  'unmarked-hints':
    'of a standby of PostgreSQL without checksums: it sets hints without marking pages as dirty, and did so in most that were looked at',
  'free-space-map': 'free space maps of PostgreSQL, which changes them without marking them as dirty',
  'not-in-time':
    'not looked at in time: pages of PostgreSQL with checksums, or what may be pages in a scan of InnoDB’s memory',
  'unaligned-in-memory':
    'of a server that keeps them at no page boundary of memory (PostgreSQL before version 16)',
  gone: 'their file is gone',
  'no-path': 'in the page cache, of a file that no path leads to (deleted, or the file system’s own)',
  'no-block-device':
    'on a file system that has no block device of its own (btrfs, ZFS, the lower folders of an overlay)',
  lvm: 'on LVM, in a volume that is neither linear nor striped',
  'unknown-mapping':
    'on LVM or another mapped device whose table cannot be read (is dmsetup there, and are the rights?)',
  raid: 'on software RAID',
  'encrypted-disk': 'on an encrypted disk',
  'loop-device': 'on a loop device',
  'remapped-device': 'on a device that puts blocks elsewhere',
  'realtime-device':
    'on XFS with a realtime device: whether their blocks are there or on the disk is not told',
  'network-disk':
    'on a disk that the guest itself attaches over a network (iSCSI, Fibre Channel, NVMe over fabrics, RBD, NBD, DRBD)',
  'other-disk': 'in the page cache, of files on a disk that no server’s pages are on',
  'too-fragmented':
    'of files whose place on the disk cannot be read: in too many pieces, not in time, or their file system does not tell',
  unaligned: 'their blocks do not begin at multiples of 4096 bytes of the disk',
  unwritten: 'their place in the file is a hole, or was never written',
  'not-in-memory': 'swapped out, or of another NUMA node that cannot be seen',
  'beyond-limits':
    'beyond what a list can name: 16 TiB of a disk or volume, more files than it takes, or more pages than the agent has memory for',
} as const;

export type LeftOutReason = keyof typeof leftOutReasons;
/** 4096-byte pages by reason. */
export type LeftOutPages = Partial<Record<LeftOutReason, number>>;

/** Adds pages to a reason's number. */
export function leaveOut(pages: LeftOutPages, reason: LeftOutReason, count: number): void {
  if (count > 0) pages[reason] = (pages[reason] ?? 0) + count;
}
