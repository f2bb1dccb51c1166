/** What the source engine reports of itself: counters and the size and times of the list. */
import type { PageListAnswer } from '../list/agent-client.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import {
  emptyCounters,
  type EngineCounters,
  type EngineEvent,
  processCounters,
} from '../core/engine-event.ts';
import type { Scarcity } from '../core/scarcity.ts';
import type { Schedule } from '../core/schedule.ts';
import type { EngineConnection } from '../wire/connection.ts';
import type { RestoreStatus } from '../wire/messages.ts';
import type { QemuStream } from './qemu-stream.ts';

/** @param status what the destination has said last */
export function sourceCounters(
  { pages, injector }: QemuStream,
  connection: EngineConnection,
  schedule: Schedule,
  scarcity: Scarcity,
  status: RestoreStatus | undefined,
): EngineCounters {
  const { counters } = injector.reader;
  return {
    ...emptyCounters,
    pages_listed: pages.listedPages,
    pages_planned: pages.plannedPages,
    pages_left_out: counters.pagesLeftOut,
    pages_passed_on: pages.pagesPassedOn,
    pages_restored: status?.restoredPages ?? 0,
    pages_mismatched: status?.mismatchedPages ?? 0,
    pages_unreadable: status?.unreadablePages ?? 0,
    pages_cancelled: status?.cancelledPages ?? 0,
    pages_sent_after_all: pages.pagesSentFromMemory,
    pages_pending: status?.pendingPages ?? 0,
    qemu_bytes: counters.bytes,
    migration_link_bytes: connection.sentBytes,
    migration_link_back_bytes: connection.receivedBytes,
    storage_link_bytes: status?.storageBytes ?? 0,
    compression_ratio: connection.compressionRatio,
    compression_ratio_total: connection.sentBytes === 0 ? 1 : connection.rawBytes / connection.sentBytes,
    restore_rate_bytes_per_second: Math.round(schedule.settledPagesPerSecond * pageSizeBytes),
    processors_carry_bytes_per_second: Math.round(scarcity.processorsCarryBytesPerSecond),
    ...processCounters(),
  };
}

export function listedEvent({ list, listBytes, timings }: PageListAnswer): EngineEvent {
  return {
    event: 'listed',
    pages_listed: list.pageCount,
    ...(list.heatUnknown && { pages_cold: list.runs.coldPages, heat_unknown: list.heatUnknown.join('; ') }),
    list_bytes: listBytes,
    list_total_ms: timings.totalMs,
    list_find_ms: list.timings.findMs,
    list_translate_ms: list.timings.translateMs,
    list_map_ms: list.timings.mapMs,
    list_encode_ms: list.timings.encodeMs,
    list_send_ms: timings.sendMs,
    list_clean_ms: timings.cleanMs,
    server: `${list.server.product} ${list.server.version}`,
  };
}
