import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ProbeReport } from './report.ts';
import { nowMs } from './wall-clock.ts';

/** At about 20 kB of reports a second, minutes of a reader that does not read. */
const maxBacklogBytes = 8 * 2 ** 20;

/**
 * Prints reports. While the reader does not keep up, reports queue up to a limit; beyond it they are left out and
 * counted, because a probe that waits for its reader would measure the reader.
 */
export class ReportOutput {
  readonly #stream: Writable;
  readonly #limitBytes: number;
  #dropped = 0;

  constructor(stream: Writable, limitBytes = maxBacklogBytes) {
    this.#stream = stream;
    this.#limitBytes = limitBytes;
  }

  readonly emit = (report: ProbeReport): void => {
    if (this.#stream.writableLength > this.#limitBytes) {
      this.#dropped += 1;
      return;
    }
    this.#reportDropped();
    this.#write(report);
  };

  /** Settles when everything has been read, or cannot be any more. */
  async end(): Promise<void> {
    this.#reportDropped();
    await new Promise<void>((resolve) => {
      this.#stream.once('error', () => {
        resolve();
      });
      this.#stream.end(resolve);
    });
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return;
    this.#write({ report: 'dropped', at: nowMs(), reports: this.#dropped });
    this.#dropped = 0;
  }

  #write(report: ProbeReport): void {
    this.#stream.write(`${JSON.stringify(report)}\n`);
  }
}

/** Standard output that never blocks this thread; `process.stdout` does, when it is a pipe. */
export function openStandardOutput(): Writable {
  return createWriteStream('', { fd: 1 });
}
