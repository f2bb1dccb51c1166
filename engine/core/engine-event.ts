/** What the engines report while they run: one typed log; the terminal, the JSON lines and tests read it. */

import type { EngineCounters, EngineEvent } from '../../record/engine-event.ts';

export type { EngineCounters, EngineEvent } from '../../record/engine-event.ts';

/** Takes an event as it happens. */
export type EventSink = (event: EngineEvent) => void;

export const emptyCounters: Omit<EngineCounters, 'cpu_ms' | 'rss_bytes'> = {
  pages_listed: 0,
  pages_planned: 0,
  pages_left_out: 0,
  pages_passed_on: 0,
  pages_restored: 0,
  pages_mismatched: 0,
  pages_unreadable: 0,
  pages_cancelled: 0,
  pages_sent_after_all: 0,
  pages_pending: 0,
  pages_placed: 0,
  pages_streamed: 0,
  qemu_bytes: 0,
  migration_link_bytes: 0,
  migration_link_back_bytes: 0,
  storage_link_bytes: 0,
  compression_ratio: 1,
  compression_ratio_total: 1,
  restore_rate_bytes_per_second: 0,
  processors_carry_bytes_per_second: 0,
};

/** What this process has used so far. */
export function processCounters(): Pick<EngineCounters, 'cpu_ms' | 'rss_bytes'> {
  const { user, system } = process.cpuUsage();
  return { cpu_ms: Math.round((user + system) / 1000), rss_bytes: process.memoryUsage.rss() };
}
