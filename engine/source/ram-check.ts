/**
 * Makes sure that what is read as guest memory is what QEMU sends. A page that is left out may be sent from there later,
 * so that the wrong memory (another VM's file, a private mapping, another block) would corrupt the guest unnoticed.
 */
import { pageSizeBytes } from '../pages/page-list.ts';
import type { GuestRam } from './guest-ram.ts';

/** Pages compared before any page is left out. */
const firstPages = 128;
/** Afterwards one of so many is compared. */
const stride = 64;
/** Of so many comparisons in a row, at least this share must hold; the guest may write a page while QEMU sends it. */
const windowPages = 128;
const leastEqualShare = 0.75;

export class RamCheck {
  readonly #ram: GuestRam;
  readonly #page = Buffer.allocUnsafeSlow(pageSizeBytes);
  #compared = 0;
  #equalInWindow = 0;
  #inWindow = 0;
  #skipped = 0;
  #differs = false;

  constructor(ram: GuestRam) {
    this.#ram = ram;
  }

  /** Whether enough was compared to rely on it. */
  get passed(): boolean {
    return this.#compared >= firstPages && !this.#differs;
  }

  /** Whether it was found to be other memory. */
  get differs(): boolean {
    return this.#differs;
  }

  /** QEMU's record of a page with content. */
  record(page: number, buffer: Buffer, offset: number): void {
    if (this.#differs) return;
    this.#skipped += 1;
    if (this.#compared >= firstPages && this.#skipped < stride) return;
    this.#skipped = 0;
    this.#ram.read(page, 1, this.#page, 0);
    this.#compared += 1;
    this.#inWindow += 1;
    if (buffer.compare(this.#page, 0, pageSizeBytes, offset, offset + pageSizeBytes) === 0) this.#equalInWindow += 1;
    if (this.#inWindow === windowPages) {
      this.#differs = this.#equalInWindow < windowPages * leastEqualShare;
      this.#inWindow = 0;
      this.#equalInWindow = 0;
    }
  }
}
