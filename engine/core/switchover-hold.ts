/**
 * Holds the switchover until nothing is pending: withholds the target's ack, and says when QEMU is not to be
 * read from, or only a little (docs/engine.md).
 */
import { SwitchoverGate } from '../stream/return-path.ts';
import type { EventSink } from './engine-event.ts';
import type { GuestPages } from './guest-pages.ts';
import type { Schedule } from './schedule.ts';
import { Trickle } from './trickle.ts';

/** What is done when the switchover may come. */
interface HoldActions {
  /** From now on little may be under way: the VM may stop at any moment. */
  allowSwitchover(): void;
  /** Hands the end of RAM on, which was held. */
  releaseEnd(): void;
  /** Takes a message of the return path for QEMU. */
  toQemu(message: Buffer): void;
}

export class SwitchoverHold {
  readonly #schedule: Pick<Schedule, 'gateOpen' | 'mayMove' | 'becomesPostcopy' | 'holdsQemu'>;
  readonly #pages: GuestPages;
  readonly #onEvent: EventSink;
  readonly #actions: HoldActions;
  readonly #gate: SwitchoverGate;
  #heldSinceMs: number | undefined;
  /** Whether somebody has yet to say that the VM may move. */
  #waitsToBeTold: boolean;
  #saidMayMove = false;
  #released = false;
  /** All of RAM was read, and its end waits. */
  #endHeld = false;
  readonly #trickle = new Trickle();

  constructor(
    schedule: Pick<Schedule, 'gateOpen' | 'mayMove' | 'becomesPostcopy' | 'holdsQemu'>,
    pages: GuestPages,
    onEvent: EventSink,
    actions: HoldActions,
    waitsToBeTold = false,
  ) {
    this.#waitsToBeTold = waitsToBeTold;
    this.#schedule = schedule;
    this.#pages = pages;
    this.#onEvent = onEvent;
    this.#actions = actions;
    this.#gate = new SwitchoverGate((message) => {
      actions.toQemu(message);
    });
  }

  /** Whether QEMU is to wait. */
  get holdsQemu(): boolean {
    return this.#endHeld || this.#schedule.holdsQemu(this.#withholds, this.#pages.almostThrough);
  }

  /** Whether it may be read from now: a little of it is, too, while it waits. */
  get readsQemu(): boolean {
    return !this.holdsQemu || this.#trickle.isOpen;
  }

  /** Whether the VM may move, and whoever has a say in it was heard. */
  get isReleased(): boolean {
    return this.#released;
  }

  /** A chunk of QEMU's stream was read; as Trickle.taken. */
  chunkTaken(records: number, partsEnded: number, nowMs: number, linkBytesPerSecond: number): void {
    this.#trickle.taken(records, partsEnded, nowMs, linkBytesPerSecond);
  }

  /** Takes bytes of the return path. Throws as SwitchoverGate.push does. */
  pushReturnPath(bytes: Buffer): void {
    this.#gate.push(bytes);
  }

  /** Whoever runs the migration lets the VM move, as soon as it may. */
  letMove(): void {
    this.#waitsToBeTold = false;
  }

  /** All of RAM was read: its end waits. */
  holdEnd(): void {
    this.#endHeld = true;
  }

  /** To be called when the schedule may have changed its mind. Throws as GuestPages.checkComplete does. */
  update(nowMs: number): void {
    // Without a withheld ack it would get through its first pass, and switch over.
    this.#trickle.update(this.#withholds && this.holdsQemu && !this.#endHeld, nowMs);
    if (!this.#schedule.mayMove) {
      if (this.#heldSinceMs === undefined && this.holdsQemu) {
        this.#heldSinceMs = nowMs;
        const by = this.#withholds ? 'agreement-withheld' : 'stalled-reading';
        this.#onEvent({ event: 'gate-held', by });
      }
      return;
    }
    if (this.#schedule.becomesPostcopy && !this.#saidMayMove) {
      this.#saidMayMove = true;
      this.#onEvent({ event: 'may-move' });
    }
    if (this.#waitsToBeTold) return;
    if (!this.#released) {
      this.#released = true;
      this.#actions.allowSwitchover();
      if (this.#schedule.gateOpen) this.#pages.checkComplete();
      const heldMs = this.#heldSinceMs === undefined ? 0 : nowMs - this.#heldSinceMs;
      this.#onEvent({ event: 'gate-released', held_ms: Math.round(heldMs) });
      this.#gate.open();
    }
    if (this.#endHeld && this.#schedule.gateOpen && this.#pages.awaitedPages === 0) {
      this.#pages.checkComplete();
      this.#endHeld = false;
      this.#actions.releaseEnd();
    }
  }

  /** The target has acknowledged the switchover, and QEMU does not know it. */
  get #withholds(): boolean {
    return this.#gate.state === 'ack-withheld';
  }
}
