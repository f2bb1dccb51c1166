import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Writes a boot disk whose program counts in the first word of 96 pages from 64 KiB on, for ever, so that memory keeps
 * changing. Sixteen-bit x86.
 */
export function writeBootDisk(file: string): void {
  const program = [
    [0x31, 0xc0], // xor ax, ax
    [0xbb, 0x00, 0x10], // round: mov bx, 0x1000
    [0x8e, 0xc3], // page: mov es, bx
    [0x26, 0xa3, 0x00, 0x00], // mov es:[0], ax
    [0x81, 0xc3, 0x00, 0x01], // add bx, 0x100
    [0x81, 0xfb, 0x00, 0x70], // cmp bx, 0x7000
    [0x72, 0xf0], // jb page
    [0x40], // inc ax
    [0xeb, 0xea], // jmp round
  ].flat();
  const disk = Buffer.alloc(1 << 20);
  Buffer.from(program).copy(disk);
  disk.writeUInt16LE(0xaa55, 510);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, disk);
}
