/** What the engines report while they run: one typed log; the terminal, the JSON lines and tests read it. */

export type EngineEvent =
  | { readonly event: 'listening'; readonly address: string }
  /** Told not to use TLS: whoever can reach the connection can read the guest's memory and change it. */
  | { readonly event: 'insecure-plaintext' }
  /** Somebody connected to the destination who was not let in; how many there were. Not all are told of. */
  | {
      readonly event: 'stranger';
      readonly peer: string;
      readonly reason: string;
      readonly strangers: number;
    }
  | { readonly event: 'connected'; readonly peer: string; readonly compression: 'none' | 'zstd' }
  /** QEMU has begun to send, and its memory is known. */
  | {
      readonly event: 'qemu-connected';
      readonly machine: string;
      readonly ram_blocks: number;
      readonly ram_pages: number;
    }
  | {
      readonly event: 'listed';
      readonly pages_listed: number;
      readonly list_bytes: number;
      readonly list_total_ms: number;
      readonly list_find_ms: number;
      readonly list_translate_ms: number;
      readonly list_map_ms: number;
      readonly list_encode_ms: number;
      readonly list_send_ms: number;
      readonly list_clean_ms: number;
      readonly server: string;
    }
  /** Something on this host lets others in; the migration goes on. */
  | { readonly event: 'warning'; readonly code: string; readonly reason: string }
  /** There is no list to work with: the migration goes on without one. */
  | { readonly event: 'no-list'; readonly code: string; readonly reason: string }
  | {
      readonly event: 'accepted';
      readonly pages_accepted: number;
      readonly pages_already_sent: number;
      readonly refused_beyond_ram: number;
      readonly refused_duplicate_frame: number;
      readonly refused_unknown_source: number;
      readonly refused_beyond_storage: number;
    }
  | { readonly event: 'storage'; readonly source: string; readonly size_bytes: number }
  | { readonly event: 'storage-unusable'; readonly source: string; readonly reason: string }
  /** The first read that failed. */
  | { readonly event: 'read-failed'; readonly reason: string }
  /** The last page of the list was planned or sent. */
  | { readonly event: 'planned' }
  | { readonly event: 'first-pass-done' }
  /** QEMU has sent what the guest had dirtied, and waits again. */
  | { readonly event: 'dirty-pass-done' }
  | { readonly event: 'gate-held'; readonly by: 'agreement-withheld' | 'stalled-reading' }
  | { readonly event: 'gate-released'; readonly held_ms: number }
  | { readonly event: 'stream-unfilterable'; readonly code: string; readonly reason: string }
  /** RAM is complete; device state follows. */
  | { readonly event: 'switch-over' }
  /** Every 200 ms, and with the totals before the end. */
  | ({ readonly event: 'progress' } & EngineCounters)
  | ({ readonly event: 'done' } & EngineCounters)
  /** The stream is whole: the destination delivers what it held, and the target may start. */
  | { readonly event: 'committed' }
  /** The target has everything. */
  | { readonly event: 'started' }
  /** Something has not come for so long; `limit_seconds` is when it is given up, 0 if never. */
  | {
      readonly event: 'waiting-for';
      readonly what: string;
      readonly seconds: number;
      readonly limit_seconds: number;
    }
  /** The VM is at the source. `advice` says what to do where it does not run on by itself. */
  | {
      readonly event: 'failed';
      readonly code: string;
      readonly reason: string;
      readonly peer: boolean;
      readonly advice?: string;
    }
  /** A signal has ended the migration before the commit. */
  | { readonly event: 'cancelled'; readonly advice?: string }
  /** Nobody here can tell whether the target has the VM: see docs/engine.md, In doubt. */
  | { readonly event: 'in-doubt'; readonly reason: string; readonly advice: string }
  /** A signal does not end the engine now. */
  | { readonly event: 'signal-refused'; readonly reason: string };

/** Sums since the start. Counters that an engine does not have are 0. */
export interface EngineCounters {
  readonly pages_listed: number;
  /** Pages of the list that storage was asked for. */
  readonly pages_planned: number;
  /** Records left out of QEMU's stream. */
  readonly pages_left_out: number;
  readonly pages_restored: number;
  /** Storage had other content. */
  readonly pages_mismatched: number;
  readonly pages_unreadable: number;
  /** Superseded by a newer record before they were restored. */
  readonly pages_cancelled: number;
  /** Listed pages that the source sent from guest memory. */
  readonly pages_sent_after_all: number;
  readonly pages_pending: number;
  /** Bytes of QEMU's stream read, or written to the target. */
  readonly qemu_bytes: number;
  /** Bytes on the connection between the engines, this way and back. */
  readonly migration_link_bytes: number;
  readonly migration_link_back_bytes: number;
  readonly storage_link_bytes: number;
  /** Of what was compressed lately: the link's gain right now. */
  readonly compression_ratio: number;
  /** Of all that was sent: payload before compression over bytes on the connection. */
  readonly compression_ratio_total: number;
  readonly restore_rate_bytes_per_second: number;
  readonly cpu_ms: number;
  readonly rss_bytes: number;
}

/** Takes an event as it happens. */
export type EventSink = (event: EngineEvent) => void;

export const emptyCounters: Omit<EngineCounters, 'cpu_ms' | 'rss_bytes'> = {
  pages_listed: 0,
  pages_planned: 0,
  pages_left_out: 0,
  pages_restored: 0,
  pages_mismatched: 0,
  pages_unreadable: 0,
  pages_cancelled: 0,
  pages_sent_after_all: 0,
  pages_pending: 0,
  qemu_bytes: 0,
  migration_link_bytes: 0,
  migration_link_back_bytes: 0,
  storage_link_bytes: 0,
  compression_ratio: 1,
  compression_ratio_total: 1,
  restore_rate_bytes_per_second: 0,
};

/** What this process has used so far. */
export function processCounters(): Pick<EngineCounters, 'cpu_ms' | 'rss_bytes'> {
  const { user, system } = process.cpuUsage();
  return { cpu_ms: Math.round((user + system) / 1000), rss_bytes: process.memoryUsage.rss() };
}
