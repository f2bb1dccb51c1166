/**
 * What is needed to recover an early resume whose engines are gone, kept at the source from before the VM moves until the target
 * has everything: where the memory of the VM is, and how the stream that broke names its parts.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { z } from 'zod';
import { CodedError } from '../../foundation/coded-error.ts';

/** RAM blocks, by their index in the stream. */
export const namedBlocks = z
  .array(z.object({ name: z.string().min(1).max(255), pageCount: z.int().positive() }))
  .min(1);

const schema = z.object({
  format: z.literal('poolshift-recovery'),
  version: z.literal(1),
  /** Where the VM's memory is (`GuestRamPlace`), with whole paths. */
  ram: z
    .array(
      z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('file'), path: z.string(), block: z.string().exactOptional() }),
        z.object({ kind: z.literal('pid'), pid: z.int().positive() }),
      ]),
    )
    .min(1),
  /** QEMUs whose memory it is, where they are known (`ProcessIdentity`). */
  processes: z.array(z.object({ pid: z.int().positive(), startTime: z.string() })),
  /** What QEMU's monitor said of its memory. */
  memoryMap: z.string().exactOptional(),
  /** Of RAM in the stream. */
  ramSectionId: z.int().nonnegative(),
  blocks: namedBlocks,
});

export type RecoveryFile = Readonly<Omit<z.infer<typeof schema>, 'format' | 'version'>>;

/** Beside the socket for QEMU, whose folder is its user's. */
export function recoveryPathOf(listenPath: string): string {
  return `${listenPath}.recovery`;
}

/** Whole or not at all, and on disk when it returns. @throws CodedError 'recovery', 'file' */
export function writeRecoveryFile(path: string, content: RecoveryFile): void {
  const unfinished = `${path}.new`;
  try {
    rmSync(unfinished, { force: true });
    const fd = openSync(unfinished, 'wx', 0o600);
    try {
      // As often as it takes: a full disk takes less than it was given, without an error.
      writeFileSync(fd, `${JSON.stringify({ format: 'poolshift-recovery', version: 1, ...content })}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, path);
  } catch (cause) {
    rmSync(unfinished, { force: true });
    const why = (cause as Error).message;
    throw new CodedError(
      'recovery',
      'file',
      `cannot write ${path}, which the recovery of a broken move needs: ${why}`,
      {
        cause,
      },
    );
  }
}

/** Of any kind of recovery, and whose it is. @throws CodedError 'recovery', 'file' */
export function readRecoveryFile(path: string): {
  readonly bytes: Buffer;
  readonly owner: { readonly uid: number; readonly gid: number };
} {
  try {
    // Who may write to its folder may put another file there meanwhile, or a link to somebody else's, or a FIFO, which is waited for.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return { owner: fstatSync(fd), bytes: readFileSync(fd) };
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw new CodedError('recovery', 'file', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** @throws CodedError 'recovery', 'file' */
export function parseRecoveryFile(text: string, path: string): RecoveryFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CodedError('recovery', 'file', `${path} is not a recovery file: ${(cause as Error).message}`, {
      cause,
    });
  }
  const read = schema.safeParse(value);
  if (!read.success)
    throw new CodedError(
      'recovery',
      'file',
      `${path} is not a recovery file: ${z.prettifyError(read.error)}`,
    );
  const { format: _format, version: _version, ...content } = read.data;
  return content;
}
