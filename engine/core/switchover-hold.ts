/**
 * Holds the switchover until nothing is pending: withholds the target's ack, and says when QEMU is not to be
 * read from, or only a little (docs/engine-design.md).
 */
import { SwitchoverGate } from '../stream/return-path.ts';
import type { EventSink } from './engine-event.ts';
import type { GuestPages } from './guest-pages.ts';
import type { Schedule } from './schedule.ts';
import { Trickle } from './trickle.ts';

/**
 * Before a VM moves early, QEMU is not read for so long that its socket is full, though it has sent next to nothing but ends of
 * parts, and it waits: while it does, the guest writes to pages that QEMU does not know of yet. It finds them when it goes on,
 * knows of the ack by then, and goes over to post-copy. One that has nothing left to send ends as pre-copy instead, before 10.2
 * (migration/migration.c, migration_iteration_run).
 */
const settlingMs = 500;
/** QEMU's other thread reads the ack in that time; where the VM was stopped, QEMU waits for none (migration_can_switchover). */
const ackMs = 20;

/** What is done when the switchover may come. */
interface HoldActions {
  /** Early resume: the VM is stopped soon, and what is under way then makes it wait. */
  expectStop(): void;
  /** Early resume: the VM is about to be stopped for its move, and nothing is to take time then. */
  prepareMove(): void;
  /** From now on little may be under way: the VM may stop at any moment. */
  allowSwitchover(): void;
  /** Nothing is pending: whether the end of RAM may be handed on. Else `update` is called again when it may. */
  mayEnd(): boolean;
  /** Hands the end of RAM on, which was held. */
  releaseEnd(): void;
  /** Takes a message of the return path for QEMU. */
  toQemu(message: Buffer): void;
  /** Has `update` called again, after so long at the latest. */
  wakeIn(ms: number): void;
}

type HeldPages = Pick<GuestPages, 'almostThrough' | 'awaitedPages' | 'checkComplete' | 'checkMemory'>;

export class SwitchoverHold {
  readonly #schedule: Pick<Schedule, 'gateOpen' | 'mayMove' | 'becomesPostcopy' | 'holdsQemu'>;
  readonly #pages: HeldPages;
  readonly #onEvent: EventSink;
  readonly #actions: HoldActions;
  readonly #gate: SwitchoverGate;
  #heldSinceMs: number | undefined;
  /** Whether somebody has yet to say that the VM may move. */
  #waitsToBeTold: boolean;
  #vmIsStopped = false;
  #saidMayMove = false;
  /** Early resume: since when QEMU is not read, so that it waits. */
  #settlingSinceMs: number | undefined;
  #releasedAtMs: number | undefined;
  #settles = false;
  /** All of RAM was read, and its end waits. */
  #endHeld = false;
  readonly #trickle = new Trickle();

  constructor(
    schedule: Pick<Schedule, 'gateOpen' | 'mayMove' | 'becomesPostcopy' | 'holdsQemu'>,
    pages: HeldPages,
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
    return (
      this.#endHeld || this.#settles || this.#schedule.holdsQemu(this.#withholds, this.#pages.almostThrough)
    );
  }

  /** Whether all of RAM was read, and its end waits: nothing that QEMU says is taken before. */
  get holdsEnd(): boolean {
    return this.#endHeld;
  }

  /** Whether it may be read from now: a little of it is, too, while it waits. */
  get readsQemu(): boolean {
    return !this.holdsQemu || this.#trickle.isOpen;
  }

  /** Whether the VM may move, and whoever has a say in it was heard. */
  get isReleased(): boolean {
    return this.#releasedAtMs !== undefined;
  }

  /** Early resume: whether the VM may move, and somebody has yet to say that it does. */
  get waitsToBeTold(): boolean {
    return this.#saidMayMove && this.#waitsToBeTold;
  }

  /** A chunk of QEMU's stream was read; as Trickle.taken. */
  chunkTaken(records: number, partsEnded: number, nowMs: number, linkBytesPerSecond: number): void {
    this.#trickle.taken(records, partsEnded, nowMs, linkBytesPerSecond);
  }

  /** Takes bytes of the return path. Throws as SwitchoverGate.push does. */
  pushReturnPath(bytes: Buffer): void {
    this.#gate.push(bytes);
  }

  /** Whoever runs the migration has stopped the VM, and lets it move as soon as it may. */
  letMove(): void {
    this.#waitsToBeTold = false;
    this.#vmIsStopped = true;
  }

  /** All of RAM was read: its end waits. */
  holdEnd(): void {
    this.#endHeld = true;
  }

  /** To be called when the schedule may have changed its mind. Throws as GuestPages.checkComplete and checkMemory do. */
  update(nowMs: number): void {
    // Without a withheld ack it would get through its first pass, and switch over.
    this.#trickle.update(this.#withholds && this.holdsQemu && !this.#endHeld && !this.#settles, nowMs);
    if (!this.#schedule.mayMove) {
      if (this.#heldSinceMs === undefined && this.holdsQemu) {
        this.#heldSinceMs = nowMs;
        const by = this.#withholds ? 'agreement-withheld' : 'stalled-reading';
        this.#onEvent({ event: 'gate-held', by });
      }
      return;
    }
    if (!this.#isSettled(nowMs)) return;
    if (this.#schedule.becomesPostcopy && !this.#saidMayMove) {
      this.#saidMayMove = true;
      this.#actions.prepareMove();
      this.#onEvent({ event: 'may-move' });
    }
    if (this.#waitsToBeTold) return;
    if (this.#releasedAtMs === undefined) {
      this.#releasedAtMs = nowMs;
      if (this.#settles && !this.#vmIsStopped) this.#actions.wakeIn(ackMs);
      this.#actions.allowSwitchover();
      if (this.#schedule.gateOpen) this.#pages.checkComplete();
      const heldMs = this.#heldSinceMs === undefined ? 0 : nowMs - this.#heldSinceMs;
      this.#onEvent({ event: 'gate-released', held_ms: Math.round(heldMs) });
      this.#gate.open();
    }
    if (this.#vmIsStopped || nowMs >= this.#releasedAtMs + ackMs) this.#settles = false;
    if (this.#endHeld && this.#schedule.gateOpen && this.#pages.awaitedPages === 0) {
      if (!this.#actions.mayEnd()) return;
      this.#pages.checkComplete();
      this.#pages.checkMemory();
      this.#endHeld = false;
      this.#actions.releaseEnd();
    }
  }

  /** Where the VM may move with pages missing, whether QEMU waits by now. */
  #isSettled(nowMs: number): boolean {
    if (!this.#schedule.becomesPostcopy || this.#schedule.gateOpen || this.#releasedAtMs !== undefined)
      return true;
    if (this.#settlingSinceMs === undefined) {
      this.#settlingSinceMs = nowMs;
      this.#settles = true;
      this.#actions.expectStop();
      this.#actions.wakeIn(settlingMs);
    }
    return nowMs >= this.#settlingSinceMs + settlingMs;
  }

  /** The target has acknowledged the switchover, and QEMU does not know it. */
  get #withholds(): boolean {
    return this.#gate.state === 'ack-withheld';
  }
}
