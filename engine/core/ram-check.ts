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
  /** After the first judgement in its favour one page of so many is compared. */
  readonly stride: number;
  /**
   * Compared pages, and share of them, that may have differed without a record of them since. The guest has written to such a page
   * after QEMU read it, so that QEMU sends it again, unless the guest has freed it (a balloon's free-page hints).
   */
  readonly maxStalePages: number;
  readonly maxStaleShare: number;
}

export const ramCheckLimits: RamCheckLimits = {
  windowPages: 128,
  minEqualShare: 0.25,
  stride: 64,
  maxStalePages: 16,
  maxStaleShare: 1 / 1024,
};
/** More than that are not kept, and are too many at any size of memory. */
const maxKeptPages = 65_536;

export class RamCheck {
  readonly #ram: GuestRam;
  readonly #limits: RamCheckLimits;
  readonly #page = Buffer.allocUnsafeSlow(pageSizeBytes);
  #comparedPages = 0;
  #equalPages = 0;
  #skippedPages = 0;
  #comparedInAll = 0;
  /** Pages that differed, and of which no record has come since. */
  readonly #stale = new Set<number>();
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

  /**
   * Whether it is other memory, however much of it is the same (a VM of the same template): it has other content than what QEMU has
   * sent last. Only of meaning when QEMU has nothing left of what the guest has written.
   */
  get isStale(): boolean {
    const { maxStalePages, maxStaleShare } = this.#limits;
    return this.#stale.size > maxStalePages + maxStaleShare * this.#comparedInAll;
  }

  /** QEMU sends the page, or has it thrown away, to be sent again. To be called before `record`. */
  comes(page: number): void {
    if (this.#stale.size > 0) this.#stale.delete(page);
  }

  /** QEMU's record of a page with content. */
  record(page: number, buffer: Buffer, offset: number): void {
    this.#skippedPages += 1;
    if (this.passed && this.#skippedPages < this.#limits.stride) return;
    this.#skippedPages = 0;
    this.#ram.read(page, 1, this.#page, 0);
    this.#comparedPages += 1;
    this.#comparedInAll += 1;
    if (buffer.compare(this.#page, 0, pageSizeBytes, offset, offset + pageSizeBytes) === 0)
      this.#equalPages += 1;
    else if (this.#stale.size < maxKeptPages) this.#stale.add(page);
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
