/** What the destination engine reports of itself. */
import { emptyCounters, type EngineCounters, processCounters } from '../core/engine-event.ts';
import type { RestorePlan } from '../core/restore-plan.ts';
import type { Restorer } from './restorer.ts';
import type { EngineConnection } from '../wire/connection.ts';
import type { TargetOutput } from './target-output.ts';
import type { TargetStream } from './target-stream.ts';

/** Rate at which storage gives, between two samples. */
export class StorageRate {
  bytesPerSecond = 0;
  #atMs = 0;
  #bytes = 0;

  /** @param bytes read so far */
  sample(bytes: number, nowMs: number): void {
    this.bytesPerSecond = ((bytes - this.#bytes) / (nowMs - this.#atMs)) * 1000;
    this.#atMs = nowMs;
    this.#bytes = bytes;
  }
}

/** What serves a migration, as far as it is counted. */
interface Counted {
  readonly plan: RestorePlan;
  readonly restorer: Restorer;
  readonly rate: StorageRate;
  readonly target: { readonly output: TargetOutput };
  readonly stream: Pick<TargetStream, 'placedPages' | 'streamedPages'>;
}

/** What is undefined was not needed so far. */
export function destinationCounters(
  connection: EngineConnection | undefined,
  serving: Counted | undefined,
): EngineCounters {
  const ofLink = {
    migration_link_bytes: connection?.receivedBytes ?? 0,
    migration_link_back_bytes: connection?.sentBytes ?? 0,
    ...processCounters(),
  };
  if (serving === undefined) return { ...emptyCounters, ...ofLink };
  const { plan, restorer, rate, target, stream } = serving;
  return {
    ...emptyCounters,
    pages_planned: plan.receivedPages,
    pages_restored: plan.restoredPages,
    pages_mismatched: plan.mismatchedPages,
    pages_unreadable: plan.unreadablePages,
    pages_cancelled: plan.cancelledPages,
    pages_pending: plan.pendingPages,
    pages_placed: stream.placedPages,
    pages_streamed: stream.streamedPages,
    qemu_bytes: target.output.writtenBytes,
    storage_link_bytes: restorer.storageBytes,
    restore_rate_bytes_per_second: Math.round(rate.bytesPerSecond),
    ...ofLink,
  };
}
