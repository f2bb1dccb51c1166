/**
 * Guest-physical page frames as offsets in the RAM block. QEMU's x86 machines cut the VM's memory in two: the first part
 * from address 0, the rest from 4 GiB on (hw/i386/pc.c, pc_memory_init; hw/i386/pc_q35.c, pc_q35_init).
 */

const framesBelow4GiB = 0x100000;

export class GuestFrames {
  /** Pages of the RAM block that lie below 4 GiB. */
  readonly lowPages: number;
  readonly #pageCount: number;

  /**
   * @param guestRam "System RAM" of the guest's /proc/iomem; only where it ends above 4 GiB matters
   * @param pageCount pages of the RAM block
   */
  constructor(guestRam: readonly (readonly [firstFrame: number, lastFrame: number])[], pageCount: number) {
    const lastFrame = guestRam.reduce((last, range) => Math.max(last, range[1]), 0);
    const highPages = Math.max(0, lastFrame + 1 - framesBelow4GiB);
    // A guest that names more memory than there is gets none of it mapped, rather than the wrong one.
    this.lowPages = Math.max(0, pageCount - highPages);
    this.#pageCount = pageCount;
  }

  /** Page of the RAM block, or -1 if the frame is no memory. */
  pageOf(frame: number): number {
    if (frame < framesBelow4GiB) return frame < this.lowPages ? frame : -1;
    const page = frame - framesBelow4GiB + this.lowPages;
    return page < this.#pageCount ? page : -1;
  }
}
