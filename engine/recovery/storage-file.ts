/**
 * What is needed to recover an early resume from storage alone, kept at the destination from when all that the VM misses lies there
 * until the target has it: where each page lies, its hash, and how the stream that broke names its parts.
 *
 * Only what the VM has left at the source may come of it. What is in it was pending in the plan when the VM stood at the source for
 * good: a page that QEMU had sent or thrown away since it was planned is not (engine/destination/destination-engine.ts). What the
 * target got later it says itself, and is not sent again. What the guest has written to storage since differs from the hash. And
 * it is of one target, which has one VM in its life: another's storage could have old content with the hash that is here.
 *
 *     a line of JSON, then for each part of the plan its length u32 and the part (engine/wire/plan-codec.ts); 0 u32; CRC-32 of all before it
 */
import { open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';
import { PageSet } from '../core/page-set.ts';
import type { PageSource } from '../list/page-list.ts';
import { messageSchemas } from '../wire/messages.ts';
import { decodePlanPart, encodePlanPart, type PlanPart } from '../wire/plan-codec.ts';
import { namedBlocks } from './recovery-file.ts';

const format = 'poolshift-recovery-from-storage';
/** So much is given to the kernel at once: what has to be done meanwhile waits for no more than making it. */
const writtenBytes = 256 * 1024;
const lengthBytes = 4;
const sumBytes = 4;

const schema = z.object({
  format: z.literal(format),
  version: z.literal(1),
  /** The target's QEMU (`ProcessIdentity`). */
  target: z.object({ pid: z.int().positive(), startTime: z.string() }),
  /** Where the destination engine had storage, as `--storage` has it; paths are whole. */
  places: z.array(z.object({ name: z.string().exactOptional(), location: z.string() })),
  ...messageSchemas.sources.shape,
  /** Of RAM in the stream. */
  ramSectionId: z.int().nonnegative(),
  blocks: namedBlocks,
});

/** All but the parts of the plan. */
export type StorageFileHead = Readonly<Omit<z.infer<typeof schema>, 'format' | 'version' | 'sources'>> & {
  readonly sources: readonly PageSource[];
};

interface StorageFile extends StorageFileHead {
  readonly parts: readonly PlanPart[];
}

function* piecesOf(head: StorageFileHead, parts: Iterable<PlanPart>): Generator<Buffer> {
  let sum = 0;
  const summed = (bytes: Buffer): Buffer => {
    sum = crc32(bytes, sum);
    return bytes;
  };
  yield summed(Buffer.from(`${JSON.stringify({ format, version: 1, ...head })}\n`));
  for (const part of parts) {
    const encoded = encodePlanPart(part);
    yield summed(Buffer.concat([uint32(encoded.length), encoded]));
  }
  yield summed(uint32(0));
  yield uint32(sum);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/**
 * Whole or not at all, and on disk when it settles; nothing is left of one that was given up.
 *
 * @throws CodedError 'recovery', 'file'
 */
export async function writeStorageFile(
  path: string,
  head: StorageFileHead,
  parts: Iterable<PlanPart>,
  signal?: AbortSignal,
): Promise<void> {
  const unfinished = `${path}.new`;
  try {
    await rm(unfinished, { force: true });
    const file = await open(unfinished, 'wx', 0o600);
    try {
      let waiting: Buffer[] = [];
      let waitingBytes = 0;
      const write = async (): Promise<void> => {
        signal?.throwIfAborted();
        await file.writeFile(Buffer.concat(waiting));
        waiting = [];
        waitingBytes = 0;
      };
      for (const piece of piecesOf(head, parts)) {
        waiting.push(piece);
        waitingBytes += piece.length;
        if (waitingBytes >= writtenBytes) await write();
      }
      await write();
      await file.sync();
    } finally {
      await file.close();
    }
    signal?.throwIfAborted();
    await rename(unfinished, path);
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    const why = `cannot write ${path}, without which only the source could mend what breaks: ${(cause as Error).message}`;
    throw new CodedError('recovery', 'file', why, { cause });
  }
}

/** Whether it is one of these, or was meant to be. */
export function isStorageFile(bytes: Buffer): boolean {
  return bytes.toString('latin1', 0, 64).startsWith(`{"format":"${format}"`);
}

/** @throws CodedError 'recovery', 'file' */
export function parseStorageFile(bytes: Buffer, path: string): StorageFile {
  const refuse = (why: string, cause?: unknown): never => {
    throw new CodedError('recovery', 'file', `${path} is not a recovery file: ${why}`, { cause });
  };
  const end = bytes.length - sumBytes;
  if (end < 0 || crc32(bytes.subarray(0, end)) !== bytes.readUInt32BE(end))
    refuse('it is cut off, or was changed');
  try {
    const lineEnd = bytes.indexOf('\n');
    const read = schema.safeParse(JSON.parse(bytes.toString('utf8', 0, lineEnd)));
    if (!read.success) return refuse(z.prettifyError(read.error));
    const { format: _format, version: _version, ...head } = read.data;
    return { ...head, parts: readParts(bytes.subarray(lineEnd + 1, end), head, refuse) };
  } catch (cause) {
    if (cause instanceof CodedError && cause.area === 'recovery') throw cause;
    return refuse((cause as Error).message, cause);
  }
}

function readParts(
  bytes: Buffer,
  { blocks, sources }: Pick<StorageFileHead, 'blocks' | 'sources'>,
  refuse: (why: string) => never,
): readonly PlanPart[] {
  const parts: PlanPart[] = [];
  const named = blocks.map(({ pageCount }) => new PageSet(pageCount));
  let at = 0;
  for (;;) {
    const partBytes = bytes.readUInt32BE(at);
    at += lengthBytes;
    if (partBytes === 0) break;
    const part = decodePlanPart(bytes.subarray(at, at + partBytes));
    at += partBytes;
    const pages = named[part.blockIndex];
    const pageCount = blocks[part.blockIndex]?.pageCount ?? 0;
    if (pages === undefined || sources[part.sourceIndex] === undefined)
      return refuse('it names a RAM block or a source that is not there');
    for (let i = 0; i < part.runs.length; i += 3) {
      const [, first = 0, count = 0] = part.runs.subarray(i, i + 3);
      if (first + count > pageCount) return refuse('it names a page that is not there');
      for (let page = first; page < first + count; page += 1)
        if (!pages.add(page)) return refuse(`it names page ${page} twice`);
    }
    parts.push(part);
  }
  if (at !== bytes.length) return refuse('it goes on behind its end');
  return parts;
}
