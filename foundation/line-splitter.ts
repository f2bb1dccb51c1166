import { StringDecoder } from 'node:string_decoder';

/** Longer lines are cut: no program here prints such lines, and a stuck writer must not fill the memory. */
const maxLineCharacters = 1 << 20;

/** Makes lines of chunks that are cut anywhere, also within a UTF-8 character. */
export class LineSplitter {
  #decoder = new StringDecoder('utf8');
  #rest = '';

  push(chunk: Uint8Array): string[] {
    const lines = (
      this.#rest + this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    ).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, maxLineCharacters);
    return lines;
  }

  /** The last line, if it came without a line end. */
  end(): string[] {
    const last = this.#rest + this.#decoder.end();
    this.#rest = '';
    return last === '' ? [] : [last];
  }
}
