/**
 * What goes to the target QEMU. Small pieces are copied together; delivery is counted; and the last byte of a stream whose
 * end nobody has vouched for is kept back, so that the target cannot start without the source's consent.
 */
import type { Socket } from 'node:net';

const batchBytes = 512 * 1024;
const mostFree = 8;
/** Bytes that QEMU has not taken yet, beyond which no more should come from the source. */
const mostWaitingBytes = 4 * 1024 * 1024;
/** Beyond which no more should come from storage: the source's stream must not wait behind it. */
const mostWaitingBesideBytes = 768 * 1024;

export class TargetOutput {
  /** Bytes given to the socket. */
  writtenBytes = 0;
  /** Whether the last byte is kept back. */
  keepsLastByte = false;
  readonly #socket: Socket;
  readonly #free: Buffer[] = [];
  #buffer: Buffer | undefined;
  #filledBytes = 0;
  #ended = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Whether more may come; the socket's 'drain' says when it changes. */
  get hasRoom(): boolean {
    return this.#socket.writableLength < mostWaitingBytes;
  }

  /** Whether restored pages may come beside the source's stream. */
  get hasRoomBeside(): boolean {
    return this.#socket.writableLength < mostWaitingBesideBytes;
  }

  add(source: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      // Room is made before a byte is added, not after, so that there is always a last byte to keep.
      if (this.#filledBytes === batchBytes) this.#write(batchBytes);
      const buffer = (this.#buffer ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytes));
      const copied = source.copy(buffer, this.#filledBytes, at, end);
      at += copied;
      this.#filledBytes += copied;
    }
  }

  /** Writes what there is. @param onDelivered called when the target has taken it, and everything before */
  flush(onDelivered?: () => void): void {
    if (this.#ended) return;
    this.#write(this.#filledBytes - (this.keepsLastByte ? 1 : 0), onDelivered);
  }

  /** Writes what there is, the last byte included, and ends the target's input. */
  end(): void {
    this.keepsLastByte = false;
    this.flush();
    this.#ended = true;
    this.#socket.end();
  }

  #write(bytes: number, onDelivered?: () => void): void {
    const buffer = this.#buffer;
    if (buffer === undefined || bytes <= 0) {
      if (onDelivered !== undefined) this.#socket.write(Buffer.alloc(0), onDelivered);
      return;
    }
    const rest = this.#filledBytes - bytes;
    this.#buffer = undefined;
    this.#filledBytes = 0;
    if (rest > 0) this.add(buffer, bytes, bytes + rest);
    this.writtenBytes += bytes;
    this.#socket.write(buffer.subarray(0, bytes), () => {
      if (this.#free.length < mostFree) this.#free.push(buffer);
      onDelivered?.();
    });
  }
}
