/** A disk whose boot sector is the whole guest: it changes one word of page after page of its memory, for ever. */

export interface GuestProgram {
  /** Range of guest-physical addresses, from 1 MiB on, in which every `stride` bytes a word is counted up. */
  readonly startBytes: number;
  readonly endBytes: number;
  readonly strideBytes: number;
  /** Rounds of an empty loop after each word: about 2 ns each under TCG. */
  readonly delayRounds: number;
}

/** 512 bytes of x86: real mode to flat protected mode, then the loop. Addresses are those of a boot sector, 0x7c00. */
export function bootSector(program: GuestProgram): Buffer {
  const sector = Buffer.alloc(512);
  Buffer.from(
    [
      'fa', // cli
      '31c0 8ed8', // xor ax, ax; mov ds, ax
      '0f01163c7c', // lgdt [0x7c3c]
      '0f20c0 0c01 0f22c0', // cr0 |= 1
      'ea177c0800', // jmp 8:0x7c17
      '66b81000 8ed8', // mov ax, 16; mov ds, ax
      'bf00000000', // round: mov edi, start
      'ff07', // page: inc dword [edi]
      'b900000000', // mov ecx, delay
      '49 75fd', // dec ecx; jnz back
      '81c700000000', // add edi, stride
      '81ff00000000', // cmp edi, end
      '72e8', // jb page
      'ebe1', // jmp round
      '1700 487c0000', // limit and address of the descriptor table
      '8db600000000', // to the next multiple of 8
      '0000000000000000 ffff0000009acf00 ffff00000092cf00', // null, flat code, flat data
    ]
      .join('')
      .replaceAll(' ', ''),
    'hex',
  ).copy(sector);
  sector.writeUInt32LE(program.startBytes, 0x1e);
  sector.writeUInt32LE(program.delayRounds, 0x25);
  sector.writeUInt32LE(program.strideBytes, 0x2e);
  sector.writeUInt32LE(program.endBytes, 0x34);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
