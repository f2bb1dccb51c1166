/**
 * What QEMU's monitor says of the VM's memory: `info mtree -f` (system/memory.c, mtree_info_flatview), which frames are which
 * pages of which memory region, and `info ramblock` (system/physmem.c, ram_block_format), where each block is in QEMU's process.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { MappedFrames } from '../core/guest-memory-map.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from '../stream/handler.ts';

/** Where a block's memory is in QEMU's address space; undefined where the text does not say (QEMU before 8.0 does not). */
export function addressOf(text: string, { name, lengthBytes }: RamBlock): number | undefined {
  for (const line of text.split(/\r?\n/)) {
    // Name, page size, offset, used, total, host address.
    const match = /^ *(.+?) +[\d.]+ [KMG]iB +0x[0-9a-f]+ 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+)/.exec(line);
    if (match?.[1] === name && parseInt(match[2] ?? '', 16) === lengthBytes)
      return parseInt(match[3] ?? '', 16);
  }
  return undefined;
}

/** @throws CodedError 'source', 'memory-map' if there is no `info mtree -f` in the text, or none of the blocks in it */
export function framesOf(text: string, blocks: readonly RamBlock[]): readonly MappedFrames[] {
  const view = text.split(/^ *FlatView #\d+/m).find((part) => /^ *AS "memory", /m.test(part));
  if (view === undefined)
    throw new CodedError(
      'source',
      'memory-map',
      'the memory map is not what QEMU answers to "info mtree -f"',
    );
  const map = view.split(/\r?\n/).flatMap((line) => {
    const match = /^ *([0-9a-f]+)-([0-9a-f]+) \(prio -?\d+, ram\): (.+?)(?: @([0-9a-f]+))?(?: KVM)?$/.exec(
      line,
    );
    const [, first = '', last = '', region = '', offset = '0'] = match ?? [];
    // Blocks of devices have the device's path before the name; none of them is the guest's memory.
    const block = blocks.find(({ name }) => name === region);
    if (block === undefined) return [];
    const [firstFrame, pages, firstPage] = [
      parseInt(first, 16) / pageSizeBytes,
      (parseInt(last, 16) + 1 - parseInt(first, 16)) / pageSizeBytes,
      parseInt(offset, 16) / pageSizeBytes,
    ];
    // Parts of a page are devices'.
    if (![firstFrame, pages, firstPage].every(Number.isInteger)) return [];
    return [{ firstFrame, pages, blockIndex: block.index, firstPage }];
  });
  if (map.length === 0)
    throw new CodedError('source', 'memory-map', 'the memory map has none of the RAM blocks that QEMU sends');
  return map;
}
