/** What the migration engines report, as it is recorded: the fields of each event, by its name. The engine's types follow from it. */
import { z } from 'zod';

/** Sums since the start. Counters that an engine does not have are 0. */
const counters = z.object({
  pages_listed: z.number(),
  /** Pages of the list that storage was asked for. */
  pages_planned: z.number(),
  /** Records left out of QEMU's stream. */
  pages_left_out: z.number(),
  /** Listed pages that went on as QEMU sent them, since the link was not found to be scarce. */
  pages_passed_on: z.number(),
  pages_restored: z.number(),
  /** Storage had other content. */
  pages_mismatched: z.number(),
  pages_unreadable: z.number(),
  /** Superseded by a newer record before they were restored. */
  pages_cancelled: z.number(),
  /** Listed pages that the source sent from guest memory. */
  pages_sent_after_all: z.number(),
  pages_pending: z.number(),
  /** Pages that the destination wrote into the target's memory itself, and those with content that went through the target's loader. */
  pages_placed: z.number(),
  pages_streamed: z.number(),
  /** Bytes of QEMU's stream read, or written to the target. */
  qemu_bytes: z.number(),
  /** Bytes on the connection between the engines, this way and back. */
  migration_link_bytes: z.number(),
  migration_link_back_bytes: z.number(),
  storage_link_bytes: z.number(),
  /** Of recent frames: the link's gain right now. */
  compression_ratio: z.number(),
  /** Of all that was sent: payload before compression over bytes on the connection. */
  compression_ratio_total: z.number(),
  restore_rate_bytes_per_second: z.number(),
  /** While processors are scarce and not the link, at most so much goes over it, whatever it could carry; else 0. */
  processors_carry_bytes_per_second: z.number(),
  cpu_ms: z.number(),
  rss_bytes: z.number(),
});

export type EngineCounters = Readonly<z.infer<typeof counters>>;

const nothing = z.object({});
const reason = z.object({ reason: z.string() });
const reasonWithCode = reason.extend({ code: z.string() });

export const engineEventFields = {
  listening: z.object({ address: z.string() }),
  /** Told not to use TLS: whoever can reach the connection can read the guest's memory and change it. */
  'insecure-plaintext': nothing,
  /** Somebody connected to the destination who was not let in; how many there were. Not all are told of. */
  stranger: reason.extend({ peer: z.string(), strangers: z.number() }),
  connected: z.object({ peer: z.string(), compression: z.enum(['none', 'zstd']) }),
  /** QEMU has begun to send, and its memory is known. */
  'qemu-connected': z.object({ machine: z.string(), ram_blocks: z.number(), ram_pages: z.number() }),
  listed: z.object({
    pages_listed: z.number(),
    list_bytes: z.number(),
    list_total_ms: z.number(),
    list_find_ms: z.number(),
    list_translate_ms: z.number(),
    list_map_ms: z.number(),
    list_encode_ms: z.number(),
    list_send_ms: z.number(),
    list_clean_ms: z.number(),
    server: z.string(),
    /** At the end of the list. Absent where hot pages were not asked to come first, or the agent does not know of it. */
    pages_cold: z.number().optional(),
    /** Programs of which it is not known which pages are cold, and why; empty without any. */
    heat_unknown: z.string().optional(),
  }),
  /** Something on this host lets others in; the migration goes on. */
  warning: reasonWithCode,
  /** There is no list to work with: the migration goes on without one. */
  'no-list': reasonWithCode,
  accepted: z.object({
    pages_accepted: z.number(),
    pages_already_sent: z.number(),
    refused_beyond_ram: z.number(),
    refused_duplicate_frame: z.number(),
    refused_unknown_source: z.number(),
    refused_beyond_storage: z.number(),
  }),
  storage: z.object({ source: z.string(), size_bytes: z.number() }),
  'storage-unusable': reason.extend({ source: z.string() }),
  /** The first read that failed. */
  'read-failed': reason,
  /** From now on pages are written into the target's memory, beside its stream. */
  placing: z.object({ how: z.enum(['file', 'process']) }),
  /** All pages go through the target's loader. */
  'not-placing': reason,
  /**
   * What the migration is short of, by what was measured last: what it sends a second, on the link and before compression; how busy
   * the destination engine is, and how much is left of the processors of the host that has less.
   */
  scarce: z.object({
    what: z.enum(['link', 'processors']),
    wire_bytes_per_second: z.number(),
    raw_bytes_per_second: z.number(),
    destination_busy_percent: z.number(),
    idle_percent: z.number(),
  }),
  /** The last page of the list was planned or sent. */
  planned: nothing,
  'first-pass-done': nothing,
  /** QEMU has sent what the guest had dirtied, and waits again. */
  'dirty-pass-done': nothing,
  'gate-held': z.object({ by: z.enum(['agreement-withheld', 'stalled-reading']) }),
  'gate-released': z.object({ held_ms: z.number() }),
  'stream-unfilterable': reasonWithCode,
  /** RAM is complete; device state follows. */
  'switch-over': nothing,
  /** Every 200 ms, and with the totals before the end. A run records it as samples. */
  progress: counters,
  done: counters,
  /** The stream is whole: the destination delivers what it held, and the target may start. */
  committed: nothing,
  /** Early resume: the VM may stop here and go on at the destination. */
  'may-move': nothing,
  /** Early resume: the target has the VM, without all of its pages. */
  moved: nothing,
  /** Early resume: all that the VM misses at the destination lies on storage, and nothing is lost with the source from now on. */
  'source-free': nothing,
  /** Storage has not given something: what the VM misses is at the source again. */
  'source-needed': nothing,
  /** The source is gone, and the rest comes from storage. */
  'source-lost': reason,
  /** Early resume, of the whole migration: pages that the target's VM waited for, from request to when its QEMU was given them. */
  faults: z.object({
    faults: z.number(),
    fault_p50_ms: z.number(),
    fault_p95_ms: z.number(),
    fault_p99_ms: z.number(),
    fault_max_ms: z.number(),
  }),
  /** An early resume that broke is being brought to its end: so many pages are missing. */
  recovering: z.object({ pages_pending: z.number() }),
  /** The target has everything. */
  started: nothing,
  /** Something has not come for so long; `limit_seconds` is when it is given up, 0 if never. */
  'waiting-for': z.object({ what: z.string(), seconds: z.number(), limit_seconds: z.number() }),
  /** The VM is at the source. `advice` says what to do where it does not run on by itself. */
  failed: reasonWithCode.extend({ peer: z.boolean(), advice: z.string().exactOptional() }),
  /** A signal has ended the migration before the commit. */
  cancelled: z.object({ advice: z.string().exactOptional() }),
  /** Nobody here can tell whether the target has the VM: see docs/engine.md, Ends. */
  'in-doubt': reason.extend({ advice: z.string() }),
  /** The VM is at the destination, without some of its pages, which do not come any more. */
  incomplete: reason.extend({ advice: z.string() }),
  /** A signal does not end the engine now. */
  'signal-refused': reason,
} as const;

export type EngineEventName = keyof typeof engineEventFields;
export const engineEventNames = Object.keys(engineEventFields) as EngineEventName[];

/** zod takes an object without keys for one whose values are never. */
type FieldsOf<Schema extends z.ZodObject> = keyof Schema['shape'] extends never
  ? unknown
  : Readonly<z.infer<Schema>>;

/** An event and its fields in one object, as the engine reports it. */
export type EngineEvent = {
  [Name in EngineEventName]: { readonly event: Name } & FieldsOf<(typeof engineEventFields)[Name]>;
}[EngineEventName];

/**
 * The fields of any engine event as a run records them. An engine of another version may have left out some, or have
 * reported fields, names and words that this one does not know.
 */
export const recordedFieldsSchema = z
  .object({
    ...engineEventFields.listening.shape,
    ...engineEventFields.stranger.shape,
    ...engineEventFields['qemu-connected'].shape,
    ...engineEventFields.listed.shape,
    ...engineEventFields.accepted.shape,
    ...engineEventFields.storage.shape,
    ...engineEventFields['gate-released'].shape,
    ...counters.shape,
    ...engineEventFields['waiting-for'].shape,
    ...engineEventFields.faults.shape,
    ...engineEventFields.scarce.omit({ what: true }).shape,
    ...engineEventFields.failed.shape,
    by: z.string(),
    compression: z.string(),
    how: z.string(),
    /** Who it was; of `failed`, whether the other engine said so. */
    peer: z.union([z.string(), z.boolean()]),
  })
  .partial()
  .catchall(z.union([z.number(), z.string(), z.boolean()]));

export type RecordedFields = Readonly<z.infer<typeof recordedFieldsSchema>>;
export type RecordedField = keyof (typeof recordedFieldsSchema)['shape'];
