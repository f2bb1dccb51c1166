import test from 'ava';
import { mappingsOf } from './qemu-mappings.ts';

const maps = `55d0c0000000-55d0c0400000 r--p 00000000 fe:01 131 /usr/bin/qemu-system-x86_64
7f0000000000-7f0008000000 rw-s 00200000 00:1d 42  /dev/shm/a name with spaces (deleted)
7f0010000000-7f0018000000 rw-p 00000000 00:00 0
7f0020000000-7f0020001000 rw-p 00000000 00:00 0   [stack]
7f0030000000-7f0038000000 ---p 00000000 00:00 0
`;

test('finds what can be written and has the length', (t) => {
  t.deepEqual(mappingsOf(maps, 0x8000000), [
    {
      startBytes: 0x7f0000000000,
      lengthBytes: 0x8000000,
      isShared: true,
      fileOffsetBytes: 0x200000,
      device: '00:1d',
      inode: 42,
    },
    {
      startBytes: 0x7f0010000000,
      lengthBytes: 0x8000000,
      isShared: false,
      fileOffsetBytes: 0,
      device: '00:00',
      inode: 0,
    },
  ]);
  t.deepEqual(mappingsOf(maps, 0x2000), []);
});
