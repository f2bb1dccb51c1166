/** What the reader hands on: runs of its input as they are, less what is left out. */
import type { StreamOutput } from './handler.ts';

export class FilteredOutput {
  /**
   * Index of the block that the receiver takes for "the same block"; -1 if there was none. Whoever writes RAM records to
   * the output beside the reader keeps it up to date.
   */
  sameBlock = -1;
  readonly #output: StreamOutput;
  /** Start of the bytes of the buffer being parsed that were read but not handed on yet. */
  #from = 0;

  constructor(output: StreamOutput) {
    this.#output = output;
  }

  /** Another buffer is parsed, from `start` on. */
  begin(start: number): void {
    this.#from = start;
  }

  /** Hands on what was not, up to `to`. */
  handOn(buffer: Buffer, to: number): void {
    if (to > this.#from) this.#output(buffer, this.#from, to);
    this.#from = to;
  }

  /** Leaves out what was not handed on, up to `to`. */
  leaveOut(to: number): void {
    this.#from = to;
  }

  /** Hands on bytes that do not stand in the input. */
  insert(bytes: Buffer, length: number): void {
    this.#output(bytes, 0, length);
  }
}
