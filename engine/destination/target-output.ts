/**
 * What goes to the target QEMU. Small pieces are copied together; delivery is counted; and the part of the stream without
 * which the target cannot start is held until the source engine vouches that it is whole.
 */
import type { Socket } from 'node:net';
import { CodedError } from '../../foundation/coded-error.ts';
import { endOfFileAt } from '../stream/stream-end.ts';

const batchBytes = 512 * 1024;
const maxFree = 8;
/** Bytes that QEMU has not taken yet, beyond which no more should come from the source. */
const maxWaitingBytes = 4 * 1024 * 1024;
/** Beyond which no more should come from storage: the source's stream must not wait behind it. */
const maxWaitingBesideBytes = 768 * 1024;
/** Device state beyond it is refused: stock devices of a PC need less than a hundredth of it. */
const maxHeldBytes = 256 * 1024 * 1024;

export class TargetOutput {
  /** Bytes given to the socket. */
  writtenBytes = 0;
  /** Those of them that the kernel has taken: the target reads them, whatever becomes of this process. */
  deliveredBytes = 0;
  readonly #socket: Socket;
  readonly #free: Buffer[] = [];
  #buffer: Buffer | undefined;
  #filledBytes = 0;
  /** Writes that the kernel has not taken yet, and what is to be called when it has taken all of them. */
  #underWay = 0;
  readonly #waiting: (() => void)[] = [];
  /** What is held, in order; undefined where nothing is to be held. */
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  /** Where in what is held the target has what it needs to start; undefined where the stream's end says it. */
  #endsAtBytes: number | undefined;
  /** What waits for the kernel to take all that was written before. */
  #last: Buffer | undefined;
  /** What was added since, behind it. */
  readonly #behindLast: Buffer[] = [];
  #behindLastBytes = 0;
  #released = false;
  /** `writtenBytes` when the target had what it needs to start; undefined before. */
  #startBytes: number | undefined;
  /** So much of the end is held; what is before it goes. */
  #heldTailBytes = Infinity;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Whether more may come; the socket's 'drain' says when it changes. */
  get hasRoom(): boolean {
    return this.#waitingBytes < maxWaitingBytes;
  }

  /** Whether restored pages may come beside the source's stream. */
  get hasRoomBeside(): boolean {
    return this.#waitingBytes < maxWaitingBesideBytes;
  }

  get #waitingBytes(): number {
    return this.#socket.writableLength + this.#behindLastBytes;
  }

  /** Bytes that are held. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether what the target needs to start has not left this process. Then it will never start if its connection is closed. */
  get undelivered(): boolean {
    return this.#heldBytes > 0 || this.#last !== undefined;
  }

  /** Holds everything that is added from now on, or its last `tailBytes`. */
  hold(tailBytes = Infinity): void {
    this.#held ??= [];
    this.#heldTailBytes = Math.min(this.#heldTailBytes, tailBytes);
  }

  /** With what is held the target can start: what is added to it now does not matter for that. */
  endHere(): void {
    this.#endsAtBytes = this.#heldBytes;
  }

  /** Whether what is added is held. */
  get isHolding(): boolean {
    return this.#held !== undefined;
  }

  /** Whether `release` was called: before it the target cannot have everything. */
  get isReleased(): boolean {
    return this.#released;
  }

  /** Whether more was written than the target needs to start: what it has not read may be of that, and it may have run. */
  get isBeyondStart(): boolean {
    return this.#startBytes !== undefined && this.writtenBytes > this.#startBytes;
  }

  /**
   * Delivers what is held, and holds nothing any more. What the target needs to start, from the end of file byte on, goes only
   * when the kernel has taken everything before it: until then the target certainly cannot start.
   */
  release(): void {
    this.#released = true;
    // In post-copy that is passed through nothing is held, and what follows starts the target at a byte that is not known here.
    if (this.#held === undefined) {
      this.#startBytes = this.writtenBytes;
      return;
    }
    const held = Buffer.concat(this.#held);
    this.#held = undefined;
    this.#heldBytes = 0;
    const ends = this.#endsAtBytes;
    const lastAt = ends === undefined ? endOfFileAt(held) : ends - 1;
    this.#fill(held, 0, lastAt);
    this.flush();
    this.#last = held.subarray(lastAt, ends);
    if (ends !== undefined) this.#addBehindLast(held.subarray(ends));
    this.#writeLast();
  }

  /** @throws CodedError 'destination', 'device-state' when more is to be held than there is room for */
  add(source: Buffer, start: number, end: number): void {
    if (this.#last !== undefined) this.#addBehindLast(Buffer.from(source.subarray(start, end)));
    else if (this.#held === undefined) this.#fill(source, start, end);
    else this.#holdBack(this.#held, Buffer.from(source.subarray(start, end)));
  }

  #addBehindLast(bytes: Buffer): void {
    this.#behindLast.push(bytes);
    this.#behindLastBytes += bytes.length;
  }

  #holdBack(held: Buffer[], part: Buffer): void {
    held.push(part);
    this.#heldBytes += part.length;
    for (let first = held[0]; first !== undefined; first = held[0]) {
      if (this.#heldBytes - first.length < this.#heldTailBytes) break;
      held.shift();
      this.#heldBytes -= first.length;
      this.#fill(first, 0, first.length);
    }
    if (this.#heldBytes > maxHeldBytes) {
      throw new CodedError(
        'destination',
        'device-state',
        `the device state has more than ${maxHeldBytes} bytes`,
      );
    }
  }

  #fill(source: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#filledBytes === batchBytes) this.#write(batchBytes);
      const buffer = (this.#buffer ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytes));
      const copied = source.copy(buffer, this.#filledBytes, at, end);
      at += copied;
      this.#filledBytes += copied;
    }
  }

  /** Writes what there is. @param onDelivered called when the target has taken it, and everything before */
  flush(onDelivered?: () => void): void {
    this.#write(this.#filledBytes, onDelivered);
  }

  #writeLast(): void {
    const last = this.#last;
    if (last === undefined || this.#underWay > 0 || this.#socket.destroyed) return;
    this.#last = undefined;
    this.#fill(last, 0, last.length);
    this.#startBytes = this.writtenBytes + this.#filledBytes;
    for (const bytes of this.#behindLast.splice(0)) this.#fill(bytes, 0, bytes.length);
    this.#behindLastBytes = 0;
    this.flush();
  }

  #write(bytes: number, onDelivered?: () => void): void {
    const buffer = this.#buffer;
    if (buffer === undefined || bytes === 0) {
      // A write of nothing would fail on a target that has everything and has closed.
      if (onDelivered === undefined) return;
      if (this.#underWay === 0) onDelivered();
      else this.#waiting.push(onDelivered);
      return;
    }
    this.#buffer = undefined;
    this.#filledBytes = 0;
    this.writtenBytes += bytes;
    this.#underWay += 1;
    this.#socket.write(buffer.subarray(0, bytes), (error) => {
      this.#underWay -= 1;
      if (!(error instanceof Error)) this.deliveredBytes += bytes;
      if (this.#free.length < maxFree) this.#free.push(buffer);
      onDelivered?.();
      if (this.#underWay > 0) return;
      this.#writeLast();
      for (const waiting of this.#waiting.splice(0)) waiting();
    });
  }
}
