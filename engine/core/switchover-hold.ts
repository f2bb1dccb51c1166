/**
 * Holds the switchover until nothing is pending: withholds the target's ack, and says when QEMU is not to be
 * read from (docs/engine.md).
 */
import type { EventSink } from './engine-event.ts';
import type { Schedule } from './schedule.ts';
import { SwitchoverGate } from '../stream/return-path.ts';
import type { DestinationLink } from '../source/destination-link.ts';
import type { QemuStream } from '../source/qemu-stream.ts';

export class SwitchoverHold {
  readonly #schedule: Schedule;
  readonly #stream: QemuStream;
  readonly #link: DestinationLink;
  readonly #onEvent: EventSink;
  readonly #gate: SwitchoverGate;
  #heldSinceMs: number | undefined;
  #released = false;
  /** All of RAM was read, and its end waits. */
  #endHeld = false;

  /** @param toQemu takes messages of the return path */
  constructor(
    schedule: Schedule,
    stream: QemuStream,
    link: DestinationLink,
    onEvent: EventSink,
    toQemu: (message: Buffer) => void,
  ) {
    this.#schedule = schedule;
    this.#stream = stream;
    this.#link = link;
    this.#onEvent = onEvent;
    this.#gate = new SwitchoverGate(toQemu);
  }

  /** Whether QEMU is not to be read from. */
  get holdsQemu(): boolean {
    return this.#endHeld || this.#schedule.holdsQemu(this.#withholds, this.#stream.pages.almostThrough);
  }

  /** Takes bytes of the return path. Throws as SwitchoverGate.push does. */
  pushReturnPath(bytes: Buffer): void {
    this.#gate.push(bytes);
  }

  /** All of RAM was read: its end waits. */
  holdEnd(): void {
    this.#endHeld = true;
  }

  /** To be called when the schedule may have changed its mind. Throws as GuestPages.checkComplete does. */
  update(nowMs: number): void {
    if (!this.#schedule.gateOpen) {
      if (this.#heldSinceMs === undefined && this.holdsQemu) {
        this.#heldSinceMs = nowMs;
        const by = this.#withholds ? 'agreement-withheld' : 'stalled-reading';
        this.#onEvent({ event: 'gate-held', by });
      }
      return;
    }
    if (!this.#released) {
      this.#released = true;
      this.#link.allowSwitchover();
      this.#stream.pages.checkComplete();
      const heldMs = this.#heldSinceMs === undefined ? 0 : nowMs - this.#heldSinceMs;
      this.#onEvent({ event: 'gate-released', held_ms: Math.round(heldMs) });
      this.#gate.open();
    }
    if (this.#endHeld) {
      this.#endHeld = false;
      this.#stream.injector.release();
    }
  }

  /** The target has acknowledged the switchover, and QEMU does not know it. */
  get #withholds(): boolean {
    return this.#gate.state === 'ack-withheld';
  }
}
