/** An item of the stream that was cut by the end of a chunk, until the rest of it comes. */
export class CutItem {
  readonly buffer: Buffer;
  /** Bytes of the buffer that are filled; 0 if nothing was cut. */
  filledBytes = 0;

  constructor(maxItemBytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(maxItemBytes);
  }

  /** Keeps the bytes of a chunk from `start` on: they are less than an item. */
  keep(chunk: Buffer, start: number): void {
    this.filledBytes = chunk.copy(this.buffer, 0, start);
  }

  /** Takes from the chunk, at `at`, what is missing of `neededBytes`, and no more; returns where the chunk goes on. */
  fill(chunk: Buffer, at: number, neededBytes: number): number {
    const end = Math.min(chunk.length, at + neededBytes - this.filledBytes);
    this.filledBytes += chunk.copy(this.buffer, this.filledBytes, at, end);
    return end;
  }

  /** The bytes from `start` on. */
  rest(start: number): Buffer {
    return this.buffer.subarray(start, this.filledBytes);
  }

  /** Removes bytes that were read. */
  drop(bytes: number): void {
    this.buffer.copyWithin(0, bytes, this.filledBytes);
    this.filledBytes -= bytes;
  }

  clear(): void {
    this.filledBytes = 0;
  }
}
