/** What the engines say to each other in JSON (frame.ts names the frames). Read with a schema: neither trusts the other. */
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';
import { hashKeyBytes } from '../list/content-hash.ts';
import type { PageSource } from '../list/page-list.ts';
import { listLimits } from '../list/page-list-metadata.ts';

/** Raised with every change that an engine of the version before would misunderstand. */
export const protocolVersion = 6;

const count = z.number().int().nonnegative();

const helloSchema = z.object({
  protocol: z.number().int(),
  role: z.enum(['source', 'destination']),
  /** Which VM, so that only who knows it can tell (hello.ts); absent where the engine was not told. */
  vm: z
    .object({ nonce: z.string().regex(/^[0-9a-f]{32}$/), digest: z.string().regex(/^[0-9a-f]{64}$/) })
    .optional(),
  pageSizeBytes: count,
  /** Encodings that the sender can read beside plain. */
  compression: z.array(z.enum(['zstd'])).max(8),
  heartbeatMs: z.number().int().min(10).max(3_600_000),
});
export type Hello = z.infer<typeof helloSchema>;

const sourceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('disk'), disk: z.string().max(1024) }),
  z.object({ kind: z.literal('file'), fileSystem: z.string().max(4096), path: z.string().max(4096) }),
]);
const sourcesSchema = z.object({
  sources: z.array(sourceSchema).max(65_536),
  hashKey: z.string().regex(new RegExp(`^[0-9a-f]{${2 * hashKeyBytes}}$`)),
});
export interface Sources {
  /** The places on shared storage that plans refer to by index. */
  readonly sources: readonly PageSource[];
  /** Key of the hashes in plans, in hexadecimal digits (content-hash.ts). */
  readonly hashKey: string;
}

const storageSchema = z.object({
  storage: z
    .array(
      z.discriminatedUnion('usable', [
        z.object({ usable: z.literal(true), sizeBytes: count }),
        z.object({ usable: z.literal(false), reason: z.string().max(4096) }),
      ]),
    )
    .max(65_536),
});
/** What the destination finds at each of `Sources`. */
export type Storage = z.infer<typeof storageSchema>;

const statusSchema = z.object({
  /** Pages of all plans received. */
  receivedPages: count,
  /** Pages that are neither restored nor superseded yet. */
  pendingPages: count,
  /** Pages up to which, in the order of the plans, everything was read or superseded. */
  cursorPages: count,
  restoredPages: count,
  mismatchedPages: count,
  unreadablePages: count,
  cancelledPages: count,
  storageBytes: count,
  /** Indexes of sources most of whose pages, so far, were not as planned. */
  givenUpSources: z.array(count).max(listLimits.sources).readonly(),
});
/** How far the destination is. All but `pendingPages` and `givenUpSources` only grow. */
export type RestoreStatus = z.infer<typeof statusSchema>;

const share = z.number().min(0).max(1);
const loadSchema = z.object({
  /** Of the time since the message before: in which the engine had something to do, and in which processors had nothing. */
  busyShare: share,
  idleShare: share,
});
/** What the destination's host is busy with. */
export type DestinationLoad = z.infer<typeof loadSchema>;

const abortSchema = z.object({
  code: z.string().max(100),
  message: z.string().max(2048),
  /** The destination vouches that the target does not have the VM, and will never have it. */
  targetNeverRuns: z.boolean().default(false),
});
export type Abort = z.infer<typeof abortSchema>;

export const messageSchemas = {
  hello: helloSchema,
  sources: sourcesSchema,
  storage: storageSchema,
  status: statusSchema,
  load: loadSchema,
  abort: abortSchema,
} as const;

export function encodeMessage(
  message: Hello | Sources | Storage | RestoreStatus | DestinationLoad | Abort,
): Buffer {
  return Buffer.from(JSON.stringify(message), 'utf8');
}

/** @throws CodedError 'wire', 'malformed' */
export function decodeMessage<T>(schema: z.ZodType<T>, payload: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch (cause) {
    throw new CodedError('wire', 'malformed', 'a message is not JSON', { cause });
  }
  const result = schema.safeParse(value);
  if (!result.success)
    throw new CodedError('wire', 'malformed', `a message is wrong: ${result.error.message}`);
  return result.data;
}
