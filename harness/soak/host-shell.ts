/** A shell that waits on a host: a command takes effect there some milliseconds after it was asked for. */
import type { Host, HostProcess } from '../testbed/host.ts';

/** Answers each line with its exit status. */
const loop = `while IFS= read -r line; do (eval "$line") < /dev/null > /dev/null 2>&1; echo $?; done`;

export class HostShell {
  readonly #process: HostProcess;
  readonly #waiting: ((succeeded: boolean) => void)[] = [];

  constructor(host: Host) {
    this.#process = host.spawn(loop);
    void this.#read();
  }

  /** Runs one line after what was asked for before; returns whether it succeeded. False where the shell is gone. */
  run(line: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#process.write(`${line}\n`);
    });
  }

  async close(): Promise<void> {
    await this.#process.stop();
  }

  async #read(): Promise<void> {
    for await (const status of this.#process.lines) this.#waiting.shift()?.(status === '0');
    for (const resolve of this.#waiting.splice(0)) resolve(false);
  }
}
