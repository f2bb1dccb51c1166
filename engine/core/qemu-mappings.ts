/** Where in QEMU's address space a RAM block is: the text of /proc/PID/maps (proc(5)). */

export interface Mapping {
  readonly startBytes: number;
  readonly lengthBytes: number;
  /** What is written into the file behind it is seen in it, and the other way round. */
  readonly isShared: boolean;
  /** Where in that file it begins. */
  readonly fileOffsetBytes: number;
  /** Device as "major:minor", hexadecimal, and inode of that file; "00:00" and 0 where it has none. */
  readonly device: string;
  readonly inode: number;
}

/** Mappings of `lengthBytes` that can be written. QEMU maps each RAM block of its own, guard pages around it (util/mmap-alloc.c). */
export function mappingsOf(maps: string, lengthBytes: number): readonly Mapping[] {
  return maps.split('\n').flatMap((line) => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rw.([sp]) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+)/.exec(line);
    if (match === null) return [];
    const [, start = '', end = '', sharing, offset = '', device = '', inode = ''] = match;
    const startBytes = parseInt(start, 16);
    if (parseInt(end, 16) - startBytes !== lengthBytes) return [];
    return [
      {
        startBytes,
        lengthBytes,
        isShared: sharing === 's',
        fileOffsetBytes: parseInt(offset, 16),
        device,
        inode: Number(inode),
      },
    ];
  });
}
