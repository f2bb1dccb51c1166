/** What is said of a whole run and of its hosts, in the record of each of its VMs. */
import type { Log, NewRunEvent, Sample } from '../../record/event.ts';
import type { RunLog } from '../../record/run-log.ts';

export class SharedLog implements Log {
  readonly #logs: readonly RunLog[];
  readonly #shared = new WeakSet<NewRunEvent>();

  /** @param logs of the run's VMs, in order */
  constructor(logs: readonly RunLog[]) {
    this.#logs = logs;
  }

  event(event: NewRunEvent): void {
    this.#shared.add(event);
    for (const log of this.#logs) log.event(event);
  }

  sample(sample: Sample): void {
    for (const log of this.#logs) log.sample(sample);
  }

  /** Calls `listener` once with every event from now on; with the VM that it is of, where there are several. */
  onEvent(listener: (event: NewRunEvent, vm?: number) => void): void {
    for (const [vm, log] of this.#logs.entries())
      log.onEvent((event) => {
        if (this.#logs.length === 1) listener(event);
        else if (!this.#shared.has(event)) listener(event, vm);
        else if (vm === 0) listener(event);
      });
  }
}
