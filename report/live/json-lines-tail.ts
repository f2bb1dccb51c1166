/** Reads a JSON Lines file that is being written to: each call yields the lines that are whole since the last one. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Of one read; what is left comes with the next one. */
const maxBytes = 16 * 2 ** 20;

export class JsonLinesTail {
  readonly #file: string;
  #offset = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /**
   * New values; none while there is no file. At once, since several pages may be open: of two reads on their way both would take the
   * same lines, and then pass over others.
   * @throws SyntaxError if a whole line is not JSON
   */
  read(): unknown[] {
    const values: unknown[] = [];
    for (;;) {
      const text = this.#readText();
      if (text === '') return values;
      for (const line of text.split('\n')) if (line !== '') values.push(JSON.parse(line));
    }
  }

  #readText(): string {
    let file: number;
    try {
      file = openSync(this.#file, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    }
    try {
      const bytes = Buffer.alloc(Math.min(maxBytes, Math.max(0, fstatSync(file).size - this.#offset)));
      const length = readSync(file, bytes, 0, bytes.length, this.#offset);
      // What follows the last line end is a line that is not yet whole.
      const wholeLength = bytes.subarray(0, length).lastIndexOf('\n') + 1;
      this.#offset += wholeLength;
      return bytes.toString('utf8', 0, wholeLength);
    } finally {
      closeSync(file);
    }
  }
}
