/**
 * What the source engine does next: read on from QEMU or hold it, plan pages, send listed pages itself, let the switchover
 * happen. Pure: events in, decisions out; time comes with the events. A simulation can drive it as the engine does.
 */
import type { RestoreStatus } from '../wire/messages.ts';
import type { Scarce } from './scarcity.ts';

export type Strategy =
  /** QEMU's stream as it is. */
  | 'passthrough'
  /** Every listed page comes from storage. */
  | 'restore'
  /** Storage takes the listed pages from the front; the migration link, where QEMU leaves room on it, from the back. */
  | 'balance'
  /** As balance with the first share of the list; then the VM moves, and the rest follows in the same way while it runs there. */
  | 'resume';

export const strategies = [
  'passthrough',
  'restore',
  'balance',
  'resume',
] as const satisfies readonly Strategy[];

/** Pages that may be planned and not settled, at least: what storage reads in a while, at any rate. */
const minAheadPages = 8192;
/** And at most so many milliseconds of what storage gives. */
const aheadMs = 1000;
const rateSampleMs = 200;
/** With so much of the send window free, QEMU does not use the link. */
const idleRoom = 0.25;
/**
 * QEMU passes over the pages that the guest has dirtied when one part in so many of the list is left, so that the links work
 * side by side to the end. The first pass has what was dirtied since QEMU was held, the second what was dirtied during the
 * first: little is left for the time when nothing else is to be done. Earlier, more pages would be dirtied again and sent twice.
 */
const dirtyPassShares = [9, 48] as const;

type ListState =
  | { readonly is: 'waited-for' }
  /** `remainingPages`: upper bound of what is neither planned nor sent; `totalPages`: what it was at first. */
  | { readonly is: 'there'; remainingPages: number; readonly totalPages: number }
  | { readonly is: 'none' };

/**
 * Share of the list that is to be at the destination before the VM moves there (`resume`): none has to, but what storage has
 * given by then.
 */
export const defaultShareBeforeSwitch = 0;

/**
 * When listed pages are left out of QEMU's stream: always, or while the link is what is scarce. Where processors are, it costs them less
 * to let such a page go on than to drop it here and to read it from storage or memory.
 */
export const leavesOut = ['always', 'scarce-link'] as const;
export type LeavesOut = (typeof leavesOut)[number];
export const defaultLeavesOut: LeavesOut = 'scarce-link';

export class Schedule {
  readonly #strategy: Strategy;
  readonly #shareBeforeSwitch: number;
  #list: ListState;
  #firstPassThrough = false;
  #dirtyPassesThrough = 0;
  #plannedPages = 0;
  #status: RestoreStatus | undefined;
  #rateSample: { readonly atMs: number; readonly settledPages: number } | undefined;
  #settledPagesPerSecond = 0;
  #gateOpen: boolean;
  #moved = false;
  #linkIsScarce = false;
  readonly #spares: boolean;

  /**
   * @param shareBeforeSwitch of the list, 0 to 1; of use with `resume` only
   * @param leavesOut when listed pages are left out of QEMU's stream; of use with `balance` only
   */
  constructor(
    strategy: Strategy,
    shareBeforeSwitch = defaultShareBeforeSwitch,
    leavesOut: LeavesOut = defaultLeavesOut,
  ) {
    this.#strategy = strategy;
    this.#spares = strategy === 'balance' && leavesOut === 'scarce-link';
    this.#shareBeforeSwitch = shareBeforeSwitch;
    this.#list = strategy === 'passthrough' ? { is: 'none' } : { is: 'waited-for' };
    this.#gateOpen = strategy === 'passthrough';
  }

  /** Whether memory may be complete: nothing is pending, and nothing will be. Once open it stays open. */
  get gateOpen(): boolean {
    return this.#gateOpen;
  }

  /**
   * Whether the VM may stop here and run at the destination: when nothing is pending; with `resume` when QEMU has sent each page
   * once that is not listed, enough of the list is there, and QEMU has sent once what was dirtied meanwhile, so that the target
   * throws few pages away. Once true it stays so.
   */
  get mayMove(): boolean {
    if (this.#strategy !== 'resume') return this.#gateOpen;
    return this.#firstPassThrough && (this.#gateOpen || this.#dirtyPassesThrough > 0);
  }

  /** Whether QEMU is to go over to post-copy, in which pages follow the VM. */
  get becomesPostcopy(): boolean {
    return this.#strategy === 'resume';
  }

  /** Whether a list would still be of use. */
  get waitsForList(): boolean {
    return this.#list.is === 'waited-for';
  }

  /** Whether the list is of use now: where it takes from the guest's processors what nobody needs, it is not asked for. */
  get asksForList(): boolean {
    return this.waitsForList && (this.#linkIsScarce || !this.#spares);
  }

  /** Whether QEMU's record of a listed page goes on, where the destination knows nothing of it. */
  get passesListed(): boolean {
    return this.#spares && !this.#linkIsScarce;
  }

  /** What the migration is short of was measured. */
  isShortOf(scarce: Scarce): void {
    this.#linkIsScarce = scarce === 'link';
  }

  get settledPagesPerSecond(): number {
    return this.#settledPagesPerSecond;
  }

  listArrived(remainingPages: number): void {
    if (this.#list.is !== 'waited-for') return;
    this.#list = { is: 'there', remainingPages, totalPages: remainingPages };
    this.#openIfDone();
  }

  /** There is no list, or it comes too late. */
  noList(): void {
    if (this.#list.is !== 'waited-for') return;
    this.#list = { is: 'none' };
    this.#openIfDone();
  }

  /** QEMU has sent every page once. */
  firstPassThrough(): void {
    this.#firstPassThrough = true;
  }

  /** Whether QEMU, if it does not know of the target's ack, may make its next pass over what the guest has dirtied. */
  get dirtyPassMayGo(): boolean {
    if (!this.#firstPassThrough || this.#list.is !== 'there') return false;
    const unsettledPages = this.#list.remainingPages + this.#unsettledPages;
    if (this.#strategy === 'resume') {
      return (
        this.#dirtyPassesThrough === 0 &&
        unsettledPages <= this.#list.totalPages * (1 - this.#shareBeforeSwitch)
      );
    }
    const share = dirtyPassShares[this.#dirtyPassesThrough];
    return share !== undefined && unsettledPages * share <= this.#list.totalPages;
  }

  /** QEMU has sent what the guest had dirtied, and begins another pass. */
  dirtyPassThrough(): void {
    this.#dirtyPassesThrough += 1;
  }

  /** The VM is at the destination: the sooner that knows where all the rest lies, the sooner it needs nothing from here. */
  moved(): void {
    this.#moved = true;
  }

  /** Pages were planned, or sent by the engine; `remainingPages` of the list are left. */
  listWalked(plannedPages: number, remainingPages: number): void {
    if (this.#list.is !== 'there') return;
    this.#plannedPages += plannedPages;
    this.#list.remainingPages = remainingPages;
    this.#openIfDone();
  }

  status(status: RestoreStatus, nowMs: number): void {
    this.#status = status;
    const settledPages = status.receivedPages - status.pendingPages;
    const sample = this.#rateSample;
    if (sample === undefined) {
      this.#rateSample = { atMs: nowMs, settledPages };
    } else if (nowMs - sample.atMs >= rateSampleMs) {
      this.#settledPagesPerSecond = ((settledPages - sample.settledPages) / (nowMs - sample.atMs)) * 1000;
      this.#rateSample = { atMs: nowMs, settledPages };
    }
    this.#openIfDone();
  }

  /**
   * Whether QEMU is to wait, so that it neither switches over nor sends dirty pages over and over. While the ack is
   * withheld it goes on for its dirty passes, near the end of the list.
   *
   * @param ackWithheld the target has acknowledged the switchover and QEMU does not know it: it cannot switch over before
   * @param almostThrough without that, QEMU must be stopped while it still has to send more than fits into its downtime
   */
  holdsQemu(ackWithheld: boolean, almostThrough: boolean): boolean {
    if (this.mayMove || (ackWithheld && this.dirtyPassMayGo)) return false;
    if (this.passesListed && this.waitsForList) return false;
    return this.#firstPassThrough || (almostThrough && !ackWithheld);
  }

  /** Share of the list that is wanted before the rest, whatever gives it: what is to be there before the VM moves. */
  get firstShare(): number {
    return this.#strategy === 'resume' && this.#shareBeforeSwitch > 0 ? this.#shareBeforeSwitch : 1;
  }

  /** Entries of the list that may be planned now. */
  get pagesToPlan(): number {
    if (this.#list.is !== 'there') return 0;
    if (this.#moved) return this.#list.remainingPages;
    const aheadPages = Math.max(minAheadPages, (this.#settledPagesPerSecond * aheadMs) / 1000);
    const allowedPages = Math.floor(aheadPages) - this.#unsettledPages;
    return Math.max(0, Math.min(this.#list.remainingPages, allowedPages));
  }

  /**
   * Whether listed pages are to be sent from guest memory now: from the back of the list, or of its first share, unless some were passed over.
   *
   * @param room share of the send window that is free. While QEMU sends, it goes first: its pages can come from nowhere
   *   else, and if listed ones took their place, storage would be done before the migration link.
   * @param passedOver whether there are pages whose source was given up
   */
  sendsFromMemory(qemuHeld: boolean, room: number, passedOver: boolean): boolean {
    if (this.#gateOpen || this.#list.is !== 'there') return false;
    if (!passedOver && (this.#strategy === 'restore' || this.#qemuSendsListed)) return false;
    // How soon the VM moves is how soon QEMU is through with what is not listed: nothing is to take processors or link from it.
    if (this.#strategy === 'resume' && !this.#firstPassThrough) return false;
    return qemuHeld ? room > 0 : room > idleRoom;
  }

  /** What is listed comes from QEMU, which is about to send it. */
  get #qemuSendsListed(): boolean {
    return this.passesListed && !this.#firstPassThrough;
  }

  /** Planned pages that the destination has not settled. */
  get #unsettledPages(): number {
    const settledPages =
      this.#status === undefined ? 0 : this.#status.receivedPages - this.#status.pendingPages;
    return this.#plannedPages - settledPages;
  }

  #openIfDone(): void {
    if (this.#gateOpen || this.#list.is === 'waited-for') return;
    const nothingPending =
      this.#plannedPages === 0 ||
      (this.#status?.receivedPages === this.#plannedPages && this.#status.pendingPages === 0);
    const nothingLeft = this.#list.is === 'none' || this.#list.remainingPages === 0;
    this.#gateOpen = nothingLeft && nothingPending;
  }
}
