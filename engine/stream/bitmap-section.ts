/**
 * The section of disks' dirty bitmaps, before RAM is complete (migration/block-dirty-bitmap.c): QEMU names the bitmaps in its
 * START, and says in PARTs, which come only while the VM is stopped, that there is no more. What is in the bitmaps follows RAM.
 *
 *     flags8, [u8 length + name of the disk], [u8 length + name of the bitmap], in a start granularity32 and flags8
 */
import { incomplete, type ItemStop, malformed, stoppedBy } from './obstacles.ts';
import { bitmapFlag, sectionType } from './records.ts';

type BitmapItem =
  | ItemStop
  /** A bitmap was named; the next item starts at `next`. */
  | { readonly is: 'read'; readonly next: number }
  /** The section has ended, with its footer. */
  | { readonly is: 'section-ends'; readonly next: number };

const endBytes = 1 + 5;
const startBytes = 4 + 1;

/** Reads what starts at `at`, which is before `end`. */
export function readBitmapItem(buffer: Buffer, at: number, end: number, sectionId: number): BitmapItem {
  const flags = buffer.readUInt8(at);
  if (flags === bitmapFlag.endOfSection) {
    if (end - at < endBytes) return incomplete(endBytes);
    if (buffer.readUInt8(at + 1) !== sectionType.footer || buffer.readUInt32BE(at + 2) !== sectionId)
      return stoppedBy(malformed('the section of dirty bitmaps has no footer'));
    return { is: 'section-ends', next: at + endBytes };
  }
  if ((flags & ~(bitmapFlag.bitmapName | bitmapFlag.diskName)) !== bitmapFlag.start) {
    const detail = `dirty bitmaps of disks are sent before RAM is complete (flags 0x${flags.toString(16)})`;
    return stoppedBy({ reason: 'dirty-bitmaps', detail });
  }
  let next = at + 1;
  for (const name of [bitmapFlag.diskName, bitmapFlag.bitmapName]) {
    if ((flags & name) === 0) continue;
    if (end <= next) return incomplete(next + 1 - at);
    next += 1 + buffer.readUInt8(next);
  }
  next += startBytes;
  return end < next ? incomplete(next - at) : { is: 'read', next };
}
