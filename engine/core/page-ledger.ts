/**
 * What becomes of each page of a RAM block, as the source knows it: half a byte a page. A page is
 *
 * - `plain`: QEMU's records of it are forwarded;
 * - `listed`: storage may have it; QEMU's first record of it has not come, and the destination knows nothing of it;
 * - `withheld`: its first record was left out, and nothing was sent in its stead yet;
 * - `planned`: the destination restores it if storage has the hash; its first record has not come;
 * - `plannedWithheld`: the same, and its first record was left out, or carried just that hash.
 *
 * It becomes plain again with the first of its records that is forwarded.
 */
import { CodedError } from '../../foundation/coded-error.ts';
import type { PageHash } from './outside.ts';
import { PageHashes } from './page-hashes.ts';

export const pageState = { plain: 0, listed: 1, withheld: 2, planned: 3, plannedWithheld: 4 } as const;

const stateBits = 0x07;
const seenBit = 0x08;
const pageBits = stateBits | seenBit;

export class PageLedger {
  readonly pageCount: number;
  /** For the hashes that pages are planned with. */
  readonly hasher: PageHash;
  /** Pages of which QEMU has sent a record. */
  seenPages = 0;
  /** Pages that were left out and are neither planned nor sent: while there are any, the guest is not complete. */
  withheldPages = 0;
  /** Whether QEMU has sent a second record of some page: its first pass is over. */
  repeated = false;
  /** Two pages a byte: state and seen bit. */
  readonly #pages: Uint8Array;
  /** Of the pages that are `planned`. */
  readonly #hashes = new PageHashes();
  readonly #hash = new Uint32Array(2);

  constructor(pageCount: number, hasher: PageHash) {
    this.pageCount = pageCount;
    this.hasher = hasher;
    this.#pages = new Uint8Array(Math.ceil(pageCount / 2));
  }

  /** Memory that is held for hashes. */
  get hashBytes(): number {
    return this.#hashes.bytes;
  }

  state(page: number): number {
    return this.#bits(page) & stateBits;
  }

  /** Marks a page as listed. Returns false if it cannot be: QEMU has sent it already. */
  list(page: number): boolean {
    if (page >= this.pageCount || (this.#bits(page) & seenBit) !== 0) return false;
    this.#write(page, pageState.listed);
    return true;
  }

  /**
   * QEMU's record of a page with content. Returns whether to forward it.
   *
   * @param mayBeWithheld false beyond QEMU's first pass: from then on a later record may be the difference from this one, or
   *   be missing because nothing differs from it (capability xbzrle), so that the target must have just this one
   */
  pageRecord(page: number, buffer: Buffer, offset: number, mayBeWithheld: boolean): boolean {
    const before = this.#see(page);
    switch (before) {
      case pageState.listed:
        this.#set(page, mayBeWithheld ? pageState.withheld : pageState.plain);
        return !mayBeWithheld;
      case pageState.planned:
        if (mayBeWithheld && this.#hasPlannedHash(page, buffer, offset)) {
          this.#set(page, pageState.plannedWithheld);
          return false;
        }
        this.#set(page, pageState.plain);
        return true;
      case pageState.withheld:
      case pageState.plannedWithheld:
        this.#set(page, pageState.plain);
        return true;
      default:
        return true;
    }
  }

  /** QEMU's record of a page of zeros; it is always forwarded. */
  zeroRecord(page: number): void {
    this.passRecord(page);
  }

  /** QEMU's record of a page with content, which is forwarded whatever was planned. */
  passRecord(page: number): void {
    this.#see(page);
    this.#set(page, pageState.plain);
  }

  /**
   * QEMU's record of how a page differs from its record before; it is always forwarded.
   *
   * @throws CodedError 'source', 'withheld-base' if that record was not the last that was forwarded of the page
   */
  deltaRecord(page: number): void {
    if (this.#see(page) === pageState.plain) return;
    throw new CodedError(
      'source',
      'withheld-base',
      `QEMU sends page ${page} as the difference from a record that was left out: switch the capability xbzrle off`,
    );
  }

  /** Every page is QEMU's from here on. No page may be withheld. */
  forget(): void {
    for (let page = 0; page < this.pageCount; page++) this.#set(page, pageState.plain);
  }

  /** The page was or will be sent by other means than the plan. */
  drop(page: number): void {
    this.#set(page, pageState.plain);
  }

  /** A listed or withheld page becomes planned, with the hash of its content as it is now. */
  plan(page: number, low: number, high: number): void {
    if (this.state(page) === pageState.withheld) {
      this.#set(page, pageState.plannedWithheld);
      return;
    }
    this.#hashes.set(page, low, high);
    this.#set(page, pageState.planned);
  }

  /** Marks the page as seen and returns its state. */
  #see(page: number): number {
    const bits = this.#bits(page);
    if ((bits & seenBit) !== 0) {
      this.repeated = true;
    } else {
      this.seenPages += 1;
      this.#write(page, bits | seenBit);
    }
    return bits & stateBits;
  }

  #set(page: number, state: number): void {
    const bits = this.#bits(page);
    const before = bits & stateBits;
    if (before === pageState.withheld) this.withheldPages -= 1;
    if (state === pageState.withheld) this.withheldPages += 1;
    if (before === pageState.planned && state !== pageState.planned) this.#hashes.delete(page);
    this.#write(page, (bits & seenBit) | state);
  }

  #bits(page: number): number {
    return ((this.#pages[page >>> 1] ?? 0) >>> shiftOf(page)) & pageBits;
  }

  #write(page: number, bits: number): void {
    const others = (this.#pages[page >>> 1] ?? 0) & ~(pageBits << shiftOf(page));
    this.#pages[page >>> 1] = others | (bits << shiftOf(page));
  }

  #hasPlannedHash(page: number, buffer: Buffer, offset: number): boolean {
    this.hasher.hashPage(buffer, offset, this.#hash, 0);
    return this.#hashes.has(page, this.#hash[0] ?? 0, this.#hash[1] ?? 0);
  }
}

/** Where a page's half of its byte begins. */
function shiftOf(page: number): number {
  return (page & 1) * 4;
}
