/**
 * RAM_DISCARD: pages that the target throws away, because they come when its VM runs (migration/savevm.c,
 * qemu_savevm_send_postcopy_ram_discard): 00, u8 length + block name, 00, then (start64, length64) in bytes.
 */
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlocks } from './ram-blocks.ts';
import { sectionType, streamCommand } from './records.ts';

interface Discard {
  readonly blockIndex: number;
  readonly ranges: readonly { readonly pageIndex: number; readonly pageCount: number }[];
}

const rangeBytes = 16;

/** Reads a command's data; undefined if it is not of that form, or names pages that are not there. */
export function readDiscard(data: Buffer, blocks: RamBlocks): Discard | undefined {
  const nameBytes = data[1];
  if (data[0] !== 0 || nameBytes === undefined) return undefined;
  const firstRange = 2 + nameBytes + 1;
  if (data[firstRange - 1] !== 0 || (data.length - firstRange) % rangeBytes !== 0) return undefined;
  const blockIndex = blocks.find(data, 2, 2 + nameBytes, -1);
  const blockPages = BigInt(blocks.list[blockIndex]?.pageCount ?? 0);
  const ranges = [];
  for (let at = firstRange; at < data.length; at += rangeBytes) {
    const startBytes = data.readBigUInt64BE(at);
    const lengthBytes = data.readBigUInt64BE(at + 8);
    const page = BigInt(pageSizeBytes);
    if (startBytes % page !== 0n || lengthBytes % page !== 0n) return undefined;
    if ((startBytes + lengthBytes) / page > blockPages) return undefined;
    ranges.push({ pageIndex: Number(startBytes / page), pageCount: Number(lengthBytes / page) });
  }
  return { blockIndex, ranges };
}

/** A whole command that throws one page away. */
export function writeDiscard(blockName: Buffer, pageIndex: number): Buffer {
  const dataBytes = 2 + blockName.length + 1 + rangeBytes;
  const command = Buffer.alloc(5 + dataBytes);
  command.writeUInt8(sectionType.command, 0);
  command.writeUInt16BE(streamCommand.postcopyRamDiscard, 1);
  command.writeUInt16BE(dataBytes, 3);
  command.writeUInt8(blockName.length, 6);
  blockName.copy(command, 7);
  const range = 7 + blockName.length + 1;
  command.writeBigUInt64BE(BigInt(pageIndex) * BigInt(pageSizeBytes), range);
  command.writeBigUInt64BE(BigInt(pageSizeBytes), range + 8);
  return command;
}
