/** Tells the source engine how far restoring is. */
import type { RestorePlan } from '../core/restore-plan.ts';
import type { Restorer } from './restorer.ts';
import type { EngineConnection } from '../wire/connection.ts';
import { encodeMessage, type RestoreStatus } from '../wire/messages.ts';

export class StatusReport {
  readonly #plan: RestorePlan;
  readonly #restorer: Restorer;
  readonly #connection: EngineConnection;
  /** The last status sent, to send only what is new. */
  #sent = '';
  #sentPendingPages = 0;

  constructor(plan: RestorePlan, restorer: Restorer, connection: EngineConnection) {
    this.#plan = plan;
    this.#restorer = restorer;
    this.#connection = connection;
  }

  /** Sends what is new, if anything. */
  send(): void {
    const plan = this.#plan;
    const restorer = this.#restorer;
    if (plan.receivedPages === 0) return;
    const status: RestoreStatus = {
      receivedPages: plan.receivedPages,
      pendingPages: plan.pendingPages,
      cursorPages: plan.cursorPages,
      cancelledPages: plan.cancelledPages,
      restoredPages: restorer.restoredPages,
      mismatchedPages: restorer.mismatchedPages,
      unreadablePages: restorer.unreadablePages,
      storageBytes: restorer.storageBytes,
    };
    const payload = encodeMessage(status);
    const text = payload.toString();
    if (text === this.#sent) return;
    this.#sent = text;
    this.#sentPendingPages = status.pendingPages;
    this.#connection.send('status', payload);
  }

  /** Says at once that nothing pends any more: the source waits for it with the switchover. */
  sendIfNothingPends(): void {
    if (this.#plan.pendingPages === 0 && this.#sentPendingPages > 0) this.send();
  }
}
