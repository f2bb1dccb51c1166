/**
 * Makes sure that what is read as guest memory is what QEMU sends. A page that is left out may be sent from there later,
 * so that the wrong memory (another VM's file, a private mapping, another block) would corrupt the guest unnoticed.
 */
import { pageSizeBytes } from '../list/page-list.ts';
import type { GuestRam } from './outside.ts';

export interface RamCheckLimits {
  /** Pages compared for one judgement. */
  readonly windowPages: number;
  /**
   * Share of them that must be equal. Other memory has next to none in common with what QEMU sends (pages of zeros do not
   * count); of the right one, pages differ that the guest has written since QEMU read them, a moment ago.
   */
  readonly minEqualShare: number;
}

export const ramCheckLimits: RamCheckLimits = { windowPages: 128, minEqualShare: 0.25 };
/** After the first judgement in its favour one page of so many is compared. */
const stride = 64;

export class RamCheck {
  readonly #ram: GuestRam;
  readonly #limits: RamCheckLimits;
  readonly #page = Buffer.allocUnsafeSlow(pageSizeBytes);
  #comparedPages = 0;
  #equalPages = 0;
  #skippedPages = 0;
  #hasPassed = false;
  #judgement: 'none' | 'same' | 'doubtful' | 'other' = 'none';

  constructor(ram: GuestRam, limits: RamCheckLimits) {
    this.#ram = ram;
    this.#limits = limits;
  }

  /** Whether enough was compared to rely on it. */
  get passed(): boolean {
    return this.#judgement === 'same';
  }

  /** Whether it was relied on at any time. */
  get hasPassed(): boolean {
    return this.#hasPassed;
  }

  /** Whether it is other memory, by two judgements in a row. */
  get differs(): boolean {
    return this.#judgement === 'other';
  }

  /** QEMU's record of a page with content. */
  record(page: number, buffer: Buffer, offset: number): void {
    this.#skippedPages += 1;
    if (this.passed && this.#skippedPages < stride) return;
    this.#skippedPages = 0;
    this.#ram.read(page, 1, this.#page, 0);
    this.#comparedPages += 1;
    if (buffer.compare(this.#page, 0, pageSizeBytes, offset, offset + pageSizeBytes) === 0)
      this.#equalPages += 1;
    const { windowPages, minEqualShare } = this.#limits;
    if (this.#comparedPages < windowPages) return;
    const same = this.#equalPages >= windowPages * minEqualShare;
    if (same) {
      this.#judgement = 'same';
      this.#hasPassed = true;
    } else this.#judgement = this.#judgement === 'doubtful' ? 'other' : 'doubtful';
    this.#comparedPages = 0;
    this.#equalPages = 0;
  }
}
