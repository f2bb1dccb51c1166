/** What keeps a stream from being filtered, and how it shows in the stream (docs/stream-format.md). */
import { CodedError } from '../../foundation/coded-error.ts';
import type { StreamConfiguration, UnsupportedReason } from './handler.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import {
  adviseBytes,
  multifdMagic,
  packageLengthBytes,
  ramFlag,
  sectionType,
  streamCommand,
  streamMagic,
  streamVersion,
  tlsHandshake,
} from './records.ts';

export interface Obstacle {
  readonly reason: UnsupportedReason;
  readonly detail: string;
}

/** Why an item of the stream is not read. */
export type ItemStop =
  /** It has at least so many bytes, and they are not all at hand. */
  | { readonly is: 'incomplete'; readonly neededBytes: number }
  /** The stream cannot be filtered from here on. */
  | { readonly is: 'obstacle'; readonly obstacle: Obstacle };

export function incomplete(neededBytes: number): ItemStop {
  return { is: 'incomplete', neededBytes };
}

export function stoppedBy(obstacle: Obstacle): ItemStop {
  return { is: 'obstacle', obstacle };
}

/** Bytes that `obstacleInMagic` looks at. */
export const magicBytes = 9;

/** Looks at the first bytes of a connection: magic, version and the type of the first section. */
export function obstacleInMagic(buffer: Buffer, at: number): Obstacle | undefined {
  const magic = buffer.readUInt32BE(at);
  if (magic === multifdMagic) {
    return { reason: 'multifd', detail: 'this is a further connection of a multifd migration' };
  }
  if (buffer.readUInt8(at) === tlsHandshake && buffer.readUInt8(at + 1) === 3) {
    return { reason: 'tls', detail: 'the stream is encrypted (parameter tls-creds)' };
  }
  if (magic !== streamMagic || buffer.readUInt32BE(at + 4) !== streamVersion) {
    return { reason: 'not-a-stream', detail: 'it does not start as a migration stream does' };
  }
  if (buffer.readUInt8(at + 8) !== sectionType.configuration) {
    return { reason: 'machine', detail: 'the stream does not say which machine it is of' };
  }
  return undefined;
}

/** Machine types of x86, the only architecture whose guest pages the page list can name. */
const x86Machine = /^(pc|q35|microvm|isapc|xenfv|ubuntu|nitro-enclave)/;

export function obstacleInConfiguration(configuration: StreamConfiguration): Obstacle | undefined {
  const { machine, capabilities, targetPageBits } = configuration;
  if (targetPageBits !== undefined && 2 ** targetPageBits !== pageSizeBytes) {
    return { reason: 'page-size', detail: `pages have ${2 ** targetPageBits} bytes` };
  }
  if (!x86Machine.test(machine)) return { reason: 'machine', detail: `"${machine}" is no x86 machine` };
  if (capabilities.includes('mapped-ram')) {
    return { reason: 'mapped-ram', detail: 'pages lie at fixed places of a file (capability mapped-ram)' };
  }
  if (capabilities.includes('x-ignore-shared')) {
    return { reason: 'ignore-shared', detail: 'shared memory is not sent (capability x-ignore-shared)' };
  }
  return undefined;
}

const becomesPostcopy: Obstacle = {
  reason: 'postcopy',
  detail: 'the migration becomes post-copy once more, or a broken one is resumed',
};

/**
 * What is done with a stream that may become post-copy: it is read on; passed through once it does; or it has, so that none of
 * the commands for it may come.
 */
export type PostcopyReading = 'read' | 'pass-through' | 'over';

/** @param lengthBytes of the command's data */
export function obstacleInCommand(
  command: number,
  lengthBytes: number,
  postcopy: PostcopyReading,
): Obstacle | undefined {
  if (postcopy === 'read' && isPostcopyCommand(command, lengthBytes)) return undefined;
  if (postcopy === 'pass-through' && beginsPostcopy(command)) return undefined;
  switch (command) {
    case streamCommand.openReturnPath:
    case streamCommand.ping:
    case streamCommand.switchoverStart:
      return undefined;
    // Post-copy, of RAM or of dirty bitmaps, is allowed (migration/savevm.c, qemu_savevm_send_postcopy_advise).
    case streamCommand.postcopyAdvise:
      return postcopy === 'over' ? becomesPostcopy : undefined;
    case streamCommand.enableColo:
      return { reason: 'colo', detail: 'the VM is replicated (capability x-colo)' };
    case streamCommand.postcopyListen:
    case streamCommand.postcopyRun:
    case streamCommand.postcopyRamDiscard:
    case streamCommand.postcopyResume:
    case streamCommand.receivedBitmap:
    case streamCommand.packaged:
      return becomesPostcopy;
    default:
      return { reason: 'unknown-section', detail: `command ${command}` };
  }
}

/** What stands outside of the package of a migration that becomes post-copy (migration/savevm.c). */
/** What begins post-copy, where it was allowed. */
export function beginsPostcopy(command: number): boolean {
  return postcopyCommands.includes(command);
}

const postcopyCommands: readonly number[] = [
  streamCommand.postcopyRamDiscard,
  streamCommand.postcopyListen,
  streamCommand.postcopyRun,
  streamCommand.packaged,
];

function isPostcopyCommand(command: number, lengthBytes: number): boolean {
  return (
    (command === streamCommand.postcopyAdvise && lengthBytes === adviseBytes) ||
    command === streamCommand.postcopyRamDiscard ||
    (command === streamCommand.packaged && lengthBytes === packageLengthBytes)
  );
}

/**
 * POSTCOPY_ADVISE names the sizes of the pages that back the blocks, or-ed, and the guest's page size. Where a block has
 * larger ones, the list of blocks has another format, and pages cannot be placed one by one (migration/ram.c, ram_save_setup).
 */
export function obstacleInAdvise(buffer: Buffer, at: number): Obstacle | undefined {
  const backing = buffer.readBigUInt64BE(at);
  const guest = buffer.readBigUInt64BE(at + 8);
  if (backing === BigInt(pageSizeBytes) && guest === BigInt(pageSizeBytes)) return undefined;
  return {
    reason: 'huge-pages',
    detail: `memory is backed by pages of other sizes (0x${backing.toString(16)})`,
  };
}

/** For a RAM record that is neither a page, nor the blocks' sizes, nor the end of a section. */
export function obstacleInRecord(flags: number): Obstacle {
  switch (flags & ~ramFlag.sameBlock) {
    case ramFlag.compressedPage:
      return { reason: 'compression', detail: 'pages are compressed (capability compress)' };
    case ramFlag.multifdFlush:
      return { reason: 'multifd', detail: 'pages are sent on other connections (capability multifd)' };
    case ramFlag.hook:
      return { reason: 'rdma', detail: 'pages are sent by RDMA' };
    default:
      return { reason: 'unknown-record', detail: `a RAM record with flags 0x${flags.toString(16)}` };
  }
}

export function malformed(detail: string): Obstacle {
  return { reason: 'malformed', detail };
}

/** What to change so that such a stream can be vouched for. */
const remedies: Partial<Record<UnsupportedReason, string>> = {
  'not-a-stream': 'tell QEMU to migrate to the socket of the source engine',
  tls: "switch QEMU's own TLS off (tls-creds): the engines encrypt",
  multifd: 'switch the capability multifd off',
  postcopy: 'migrate without the engines',
  'huge-pages': 'back the guest by pages of 4096 bytes, or switch the capability postcopy-ram off',
  'dirty-bitmaps': 'switch the capability dirty-bitmaps off',
  colo: 'switch the capability x-colo off',
  rdma: 'migrate to a unix socket',
  'mapped-ram': 'switch the capability mapped-ram off',
};

/**
 * Refuses a stream in which neither engine can see where it ends: with it nobody could promise that only one VM runs. Others
 * that cannot be filtered may be passed through.
 *
 * @param mayBecomePostcopy QEMU may start post-copy
 * @throws CodedError 'stream', 'unsupported' that says what to change
 */
export function refuseUnvouched(reason: UnsupportedReason, detail: string, mayBecomePostcopy: boolean): void {
  // Of a stream that is passed through the end is held back, which post-copy would wait for.
  const remedy =
    remedies[reason] ??
    (mayBecomePostcopy ? 'switch the capability postcopy-ram off, which then cannot be carried' : undefined);
  if (remedy !== undefined) throw new CodedError('stream', 'unsupported', `${detail}: ${remedy}`, { reason });
}
