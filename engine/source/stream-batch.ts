/** Collects what goes to the destination into frames: small pieces are copied together, which compresses and sends better. */
import type { EngineConnection } from '../wire/connection.ts';

/** Large enough to compress well (a fifth less CPU time than 64 KiB), small enough to be compressed, sent and taken at the same time. */
const batchBytes = 128 * 1024;
/** Buffers kept for reuse; more are under way only while compressors lag. */
const maxFree = 32;

export class StreamBatch {
  readonly #connection: EngineConnection;
  readonly #free: Buffer[] = [];
  #buffer: Buffer | undefined;
  #filledBytes = 0;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
  }

  /** Bytes that wait for `flush`. */
  get waitingBytes(): number {
    return this.#filledBytes;
  }

  add(source: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const buffer = (this.#buffer ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytes));
      const copied = source.copy(buffer, this.#filledBytes, at, end);
      at += copied;
      this.#filledBytes += copied;
      if (this.#filledBytes === batchBytes) this.flush();
    }
  }

  /** Sends what waits. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#filledBytes === 0) return;
    const payload = buffer.subarray(0, this.#filledBytes);
    this.#buffer = undefined;
    this.#filledBytes = 0;
    this.#connection.send('stream', payload, true, () => {
      if (this.#free.length < maxFree) this.#free.push(buffer);
    });
  }
}
