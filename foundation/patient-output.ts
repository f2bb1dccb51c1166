/** Output of a program that goes on whether or not anybody reads it. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const tryAgainMs = 100;

/**
 * Node writes to a terminal and waits: with Ctrl-S in it the program would stand. So it is opened once more, and what it does not take is
 * kept. Of other readers Node keeps it.
 */
export class PatientOutput {
  readonly #stream: NodeJS.WriteStream;
  #terminal: number | undefined;
  readonly #kept: Buffer[] = [];
  #retry: NodeJS.Timeout | undefined;

  /** To be made before the process becomes another user. */
  constructor(stream: NodeJS.WriteStream & { readonly fd: number }) {
    this.#stream = stream;
    this.#terminal = stream.isTTY ? openAgain(stream.fd) : undefined;
  }

  /** Whether all that came before was taken. What is out of date soon is not to be written else. */
  get hasRoom(): boolean {
    return this.#terminal === undefined ? !this.#stream.writableNeedDrain : this.#kept.length === 0;
  }

  write(text: string): void {
    if (this.#terminal === undefined) this.#stream.write(text);
    else {
      this.#kept.push(Buffer.from(text));
      this.#writeKept(this.#terminal);
    }
  }

  /** Settles when all was taken, or nobody is there to take it. */
  async drained(): Promise<void> {
    while (this.#kept.length > 0) await sleep(tryAgainMs);
    await taken(this.#stream);
  }

  #writeKept(terminal: number): void {
    clearTimeout(this.#retry);
    try {
      for (let first = this.#kept[0]; first !== undefined; first = this.#kept[0]) {
        const written = writeSync(terminal, first);
        if (written < first.length) this.#kept[0] = first.subarray(written);
        else this.#kept.shift();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        this.#retry = setTimeout(() => {
          this.#writeKept(terminal);
        }, tryAgainMs);
        return;
      }
      // It is lost.
      this.#kept.splice(0);
      this.#terminal = undefined;
      closeSync(terminal);
    }
  }
}

/** Settles when all was taken that was written to a stream, or nobody is there to take it. */
export function taken(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => {
      resolve();
    });
  });
}

/** Undefined where another user's terminal is not to be opened. */
function openAgain(descriptor: number): number | undefined {
  try {
    return openSync(
      `/proc/self/fd/${descriptor}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
  } catch {
    return undefined;
  }
}
