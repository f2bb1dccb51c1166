/** Reads a JSON Lines file that is being written to: each call yields the lines that are whole since the last one. */
import { open } from 'node:fs/promises';

/** Of one read; what is left comes with the next one. */
const maxBytes = 16 * 2 ** 20;

export class JsonLinesTail {
  readonly #file: string;
  #offset = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** New values; none while there is no file. @throws SyntaxError if a whole line is not JSON */
  async read(): Promise<unknown[]> {
    const values: unknown[] = [];
    for (;;) {
      const text = await this.#readText();
      if (text === '') return values;
      for (const line of text.split('\n')) if (line !== '') values.push(JSON.parse(line));
    }
  }

  async #readText(): Promise<string> {
    const handle = await open(this.#file, 'r').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
    if (handle === undefined) return '';
    try {
      const { size } = await handle.stat();
      const bytes = Buffer.alloc(Math.min(maxBytes, Math.max(0, size - this.#offset)));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, this.#offset);
      // What follows the last line end is a line that is not yet whole.
      const length = bytes.subarray(0, bytesRead).lastIndexOf('\n') + 1;
      this.#offset += length;
      return bytes.toString('utf8', 0, length);
    } finally {
      await handle.close();
    }
  }
}
