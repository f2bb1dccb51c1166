/** When the destination tells the source how far restoring is. */
import type { RestoreStatus } from '../wire/messages.ts';
import type { RestorePlan } from './restore-plan.ts';

/** Between two reports. */
export const statusMs = 25;

export class StatusReport {
  readonly #plan: RestorePlan;
  readonly #storageBytes: () => number;
  readonly #send: (status: RestoreStatus) => void;
  /** The last status sent, to send only what is new. */
  #sent: RestoreStatus | undefined;

  /** @param storageBytes read from storage so far */
  constructor(plan: RestorePlan, storageBytes: () => number, send: (status: RestoreStatus) => void) {
    this.#plan = plan;
    this.#storageBytes = storageBytes;
    this.#send = send;
  }

  /** Sends what is new, if anything. To be called every `statusMs`. */
  send(): void {
    if (this.#plan.receivedPages === 0) return;
    const status = { ...this.#plan.counts, storageBytes: this.#storageBytes() };
    if (this.#sent !== undefined && isSame(status, this.#sent)) return;
    this.#sent = status;
    this.#send(status);
  }

  /** Says at once that nothing pends any more: the source waits for it with the switchover. */
  sendIfNothingPends(): void {
    if (this.#plan.pendingPages === 0 && this.#sent !== undefined && this.#sent.pendingPages > 0) this.send();
  }
}

function isSame(status: RestoreStatus, other: RestoreStatus): boolean {
  return Object.entries(status).every(([name, value]) => other[name as keyof RestoreStatus] === value);
}
