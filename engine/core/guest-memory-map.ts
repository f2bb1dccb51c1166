/**
 * Which guest-physical page frames are which pages of which RAM block. QEMU itself says so (`info mtree -f`); without that it is
 * worked out for VMs whose memory is one block and perhaps hot-plugged ones, and only where the guest's own account agrees.
 * Nothing relies on it: a page that is looked for in the wrong place has other content than storage, and is sent.
 */
import { pageSizeBytes } from '../list/page-list.ts';
import type { RamBlock } from '../stream/handler.ts';

/** "System RAM" of the guest's /proc/iomem, ascending. */
type GuestRam = readonly (readonly [firstFrame: number, lastFrame: number])[];

/** Frames that follow each other in a block, too. */
export interface MappedFrames {
  readonly firstFrame: number;
  readonly pages: number;
  readonly blockIndex: number;
  /** Page of the block that the first frame is. */
  readonly firstPage: number;
}

const framesBelow4GiB = 0x100000;
const framesPerGiB = 0x40000;
/** What firmware keeps at the end of memory below 4 GiB (ACPI tables, its own data), and more. */
const maxReservedFrames = (64 * 1024 * 1024) / pageSizeBytes;

/**
 * Pages of the VM's memory that lie below 4 GiB, unless max-ram-below-4g says otherwise (hw/i386/pc_q35.c, pc_q35_init;
 * hw/i386/pc_piix.c, pc_init1; hw/i386/microvm.c, microvm_memory_init).
 */
function lowPagesOf(machine: string, pageCount: number): number {
  const [room, whereItIsCut] = machine.startsWith('pc-q35')
    ? [0xb0000, 2 * framesPerGiB]
    : machine.startsWith('pc-')
      ? [0xe0000, 3 * framesPerGiB]
      : [3 * framesPerGiB, 3 * framesPerGiB];
  return pageCount < room ? pageCount : Math.min(pageCount, whereItIsCut);
}

/**
 * The map of a VM whose memory is one block, and blocks that were plugged in above it.
 *
 * @param machine QEMU's name of it, e.g. "pc-q35-10.0"
 * @returns undefined where no block alone, or more than one, can be the memory that the guest names
 */
export function workOutMap(
  machine: string,
  blocks: readonly RamBlock[],
  guestRam: GuestRam,
): readonly MappedFrames[] | undefined {
  const fitting = blocks.flatMap((block) => {
    const found = lowPagesThatFit(machine, block.pageCount, guestRam);
    return found === undefined ? [] : [{ block, lowPages: found }];
  });
  const main = fitting.length === 0 ? largestThatContains(machine, blocks, guestRam) : fitting[0];
  if (main === undefined || fitting.length > 1) return undefined;
  const { block, lowPages } = main;
  const blockIndex = block.index;
  const map: MappedFrames[] = [{ firstFrame: 0, pages: lowPages, blockIndex, firstPage: 0 }];
  const highPages = block.pageCount - lowPages;
  if (highPages > 0)
    map.push({ firstFrame: framesBelow4GiB, pages: highPages, blockIndex, firstPage: lowPages });
  return [...map, ...pluggedIn(blocks, block, framesBelow4GiB + highPages, guestRam)];
}

function lowPagesThatFit(machine: string, pageCount: number, guestRam: GuestRam): number | undefined {
  const low = guestRam.filter(([first]) => first < framesBelow4GiB);
  const lowEnd = (low.at(-1)?.[1] ?? -1) + 1;
  const highEnd = (guestRam.find(([first]) => first === framesBelow4GiB)?.[1] ?? framesBelow4GiB - 1) + 1;
  // By QEMU's rule; or by what the guest names from 4 GiB on, where max-ram-below-4g was set.
  const candidates = [lowPagesOf(machine, pageCount), pageCount - (highEnd - framesBelow4GiB)];
  return candidates.find((lowPages) => {
    const highPages = pageCount - lowPages;
    return (
      lowEnd <= lowPages &&
      lowEnd > lowPages - maxReservedFrames &&
      (highPages === 0 || highEnd === framesBelow4GiB + highPages)
    );
  });
}

/** A guest may use less than it has (the kernel's mem=). */
function largestThatContains(
  machine: string,
  blocks: readonly RamBlock[],
  guestRam: GuestRam,
): { readonly block: RamBlock; readonly lowPages: number } | undefined {
  const block = blocks.reduce((most, other) => (other.pageCount > most.pageCount ? other : most));
  const lowPages = lowPagesOf(machine, block.pageCount);
  const highEnd = framesBelow4GiB + block.pageCount - lowPages;
  const contains = guestRam.every(([first, last]) => last < (first < framesBelow4GiB ? lowPages : highEnd));
  return contains ? { block, lowPages } : undefined;
}

/** Blocks above the main one that the guest names as ranges of just their size: each where only one range and one block has it. */
function pluggedIn(
  blocks: readonly RamBlock[],
  main: RamBlock,
  endOfMain: number,
  guestRam: GuestRam,
): readonly MappedFrames[] {
  const ranges = guestRam.filter(([first]) => first >= endOfMain && first >= framesBelow4GiB);
  return ranges.flatMap(([first, last]) => {
    const pages = last + 1 - first;
    const ofThisSize = blocks.filter((block) => block !== main && block.pageCount === pages);
    const alike = ranges.filter((range) => range[1] + 1 - range[0] === pages);
    const [block] = ofThisSize;
    if (block === undefined || ofThisSize.length > 1 || alike.length > 1) return [];
    return [{ firstFrame: first, pages, blockIndex: block.index, firstPage: 0 }];
  });
}
