/** Writes records of QEMU's migration stream (migration/ram.c, save_page_header; migration/savevm.c). */
import { maxHeaderBytes, ramFlag, sectionTailBytes, sectionType, shortHeaderBytes } from './records.ts';

/** Bytes of the header that starts a PART or END. */
export const partHeaderBytes = 5;

/** Room that `writeRecordHeader` may need. */
export const recordHeaderRoomBytes = maxHeaderBytes;

/**
 * Writes the header of a RAM record at `at` and returns the position after it.
 *
 * @param flag `ramFlag.page`, `zero` or `xbzrle`
 * @param blockName name of the RAM block, or undefined if the record before was of the same block
 */
export function writeRecordHeader(
  into: Buffer,
  at: number,
  pageIndex: number,
  flag: number,
  blockName: Buffer | undefined,
): number {
  // The offset, pageIndex * 4096, has more than 32 bits; its low twelve are the flags.
  into.writeUInt32BE(Math.floor(pageIndex / 0x100000), at);
  const low = (pageIndex % 0x100000) * 0x1000;
  if (blockName === undefined) {
    into.writeUInt32BE(low + flag + ramFlag.sameBlock, at + 4);
    return at + shortHeaderBytes;
  }
  into.writeUInt32BE(low + flag, at + 4);
  into.writeUInt8(blockName.length, at + shortHeaderBytes);
  blockName.copy(into, at + shortHeaderBytes + 1);
  return at + shortHeaderBytes + 1 + blockName.length;
}

/** Writes the header of a PART of section `sectionId` at `at` and returns the position after it. */
export function writePartHeader(into: Buffer, at: number, sectionId: number): number {
  into.writeUInt8(sectionType.part, at);
  into.writeUInt32BE(sectionId, at + 1);
  return at + partHeaderBytes;
}

/** Writes the header of a command at `at` and returns the position after it. */
export function writeCommandHeader(into: Buffer, at: number, command: number, dataBytes: number): number {
  into.writeUInt8(sectionType.command, at);
  into.writeUInt16BE(command, at + 1);
  into.writeUInt16BE(dataBytes, at + 3);
  return at + 5;
}

/** A whole command. */
export function encodeCommand(command: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(5);
  writeCommandHeader(header, 0, command, data.length);
  return Buffer.concat([header, data]);
}

/** The END of section `sectionId` without records: nothing more comes of it. */
export function encodeSectionEnd(sectionId: number): Buffer {
  const end = Buffer.alloc(partHeaderBytes + sectionTailBytes);
  const tail = writePartHeader(end, 0, sectionId);
  end.writeUInt8(sectionType.end, 0);
  writeSectionTail(end, tail, sectionId);
  return end;
}

/** The end-of-section record and the footer of section `sectionId`. */
export function encodeSectionTail(sectionId: number): Buffer {
  const tail = Buffer.alloc(sectionTailBytes);
  writeSectionTail(tail, 0, sectionId);
  return tail;
}

/** Writes the end-of-section record and the footer of section `sectionId` at `at`; returns the position after it. */
export function writeSectionTail(into: Buffer, at: number, sectionId: number): number {
  into.writeUInt32BE(0, at);
  into.writeUInt32BE(ramFlag.endOfSection, at + 4);
  into.writeUInt8(sectionType.footer, at + 8);
  into.writeUInt32BE(sectionId, at + 9);
  return at + sectionTailBytes;
}
