/** What the command line does for the recovery of an early resume: keeps what it needs, and carries one out. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { identityOf, isAlive, type ProcessIdentity } from '../../foundation/process-identity.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { EngineOutcome, Interrupts } from '../core/engine-options.ts';
import { defaultLimits } from '../core/wait-watch.ts';
import type { RestOnStorage } from '../destination/destination-engine.ts';
import { ListedStorage } from '../destination/listed-storage.ts';
import { StorageRest } from '../destination/storage-rest.ts';
import { findListener } from '../destination/target-process.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { holdersOf } from '../recovery/memory-holders.ts';
import { recover } from '../recovery/recover.ts';
import {
  parseRecoveryFile,
  readRecoveryFile,
  recoveryPathOf,
  writeRecoveryFile,
} from '../recovery/recovery-file.ts';
import { isStorageFile, parseStorageFile, writeStorageFile } from '../recovery/storage-file.ts';
import { type GuestRamPlace, openGuestRam } from '../source/guest-ram.ts';
import type { MovedFrom } from '../source/source-options.ts';
import type { StoragePlace } from '../storage/storage-place.ts';
import type { RamBlock } from '../stream/handler.ts';
import { become } from './run-as-user.ts';

/** Keeps where memory is beside the source's socket for QEMU. */
export class RecoveryKeeper {
  readonly #path: string;
  readonly #ram: readonly GuestRamPlace[];
  readonly #memoryMap: (() => string | undefined) | undefined;
  readonly #processes: readonly ProcessIdentity[];
  #kept = false;

  constructor(
    listenPath: string,
    ram: readonly GuestRamPlace[],
    memoryMap: (() => string | undefined) | undefined,
  ) {
    this.#path = recoveryPathOf(listenPath);
    this.#ram = ram.map((place) =>
      place.kind === 'file' ? { ...place, path: path.resolve(place.path) } : place,
    );
    this.#memoryMap = memoryMap;
    this.#processes = ram.flatMap((place) => {
      if (place.kind === 'file') return holdersOf(place.path);
      const identity = identityOf(place.pid);
      return identity === undefined ? [] : [identity];
    });
  }

  /** @throws CodedError 'recovery', 'file' */
  keep({ ramSectionId, blocks }: MovedFrom): void {
    const memoryMap = this.#memoryMap?.();
    writeRecoveryFile(this.#path, {
      ram: [...this.#ram],
      processes: [...this.#processes],
      ...(memoryMap === undefined ? {} : { memoryMap }),
      ramSectionId,
      blocks: blocks.map(({ name, pageCount }) => ({ name, pageCount })),
    });
    this.#kept = true;
  }

  /**
   * The migration has ended so: it stays where the VM may be at the destination without all of its memory, as does one that another
   * migration has left.
   */
  end({ result }: EngineOutcome): void {
    if (!this.#kept || result === 'incomplete' || result === 'in-doubt') return;
    rmSync(this.#path, { force: true });
  }
}

/** Keeps what lies on storage beside the target's socket. */
export class StorageRecoveryKeeper {
  readonly #path: string;
  readonly #places: readonly StoragePlace[];
  readonly #over = new AbortController();
  #writing: Promise<void> | undefined;

  constructor(incomingPath: string, places: readonly StoragePlace[]) {
    this.#path = recoveryPathOf(incomingPath);
    this.#places = places;
  }

  /** @throws CodedError 'recovery', 'file' */
  keep({ target, sources, hashKey, ramSectionId, blocks, parts }: RestOnStorage): Promise<void> {
    // Without it the file could be taken for another target's.
    if (target === undefined)
      return Promise.reject(
        new CodedError(
          'recovery',
          'file',
          `${this.#path} is not written: the target's process cannot be seen from here`,
        ),
      );
    const head = {
      target,
      places: this.#places.map(({ name, location }) => ({
        ...(name === undefined ? {} : { name }),
        location: location.includes('://') ? location : path.resolve(location),
      })),
      ...{ sources, hashKey, ramSectionId },
      blocks: blocks.map(({ name, pageCount }) => ({ name, pageCount })),
    };
    this.#writing = writeStorageFile(this.#path, head, parts, this.#over.signal);
    return this.#writing;
  }

  /** As RecoveryKeeper.end; settles when nothing is written any more. */
  async end({ result }: EngineOutcome): Promise<void> {
    const stays = result === 'incomplete' || result === 'in-doubt';
    if (!stays) this.#over.abort(new Error('it is of no use any more'));
    await this.#writing?.catch(() => undefined);
    if (!stays && this.#writing !== undefined) rmSync(this.#path, { force: true });
  }
}

interface RecoverArguments {
  readonly target: string;
  readonly stallLimit: number;
  /** In place of where a recovery from storage says that it is. */
  readonly storage?: readonly StoragePlace[];
}

type FileRead = ReturnType<typeof readRecoveryFile> & { readonly file: string };

/** The kind of file says whether from memory or from storage. @throws CodedError 'command', 'recovery', 'source' before the target was spoken to */
export async function recoverFrom(
  file: string,
  args: RecoverArguments,
  onEvent: EventSink,
  interrupts: Interrupts,
): Promise<EngineOutcome> {
  const read = { file, ...readRecoveryFile(file) };
  const isFromStorage = isStorageFile(read.bytes);
  if (!isFromStorage && (args.storage ?? []).length > 0)
    throw new CodedError(
      'command',
      'usage',
      `--storage is of no use: ${file} is of a recovery from the memory at the source`,
    );
  const run = isFromStorage ? recoverFromStorage : recoverFromMemory;
  const outcome = await run(read, args, onEvent, interrupts);
  if (outcome.result === 'migrated') rmSync(file, { force: true });
  return outcome;
}

function blocksOf(named: readonly Pick<RamBlock, 'name' | 'pageCount'>[]): readonly RamBlock[] {
  return named.map(({ name, pageCount }, index) => ({
    ...{ index, name, pageCount },
    lengthBytes: pageCount * pageSizeBytes,
  }));
}

async function recoverFromStorage(
  { file, bytes, owner }: FileRead,
  { target, stallLimit, storage: given = [] }: RecoverArguments,
  onEvent: EventSink,
  interrupts: Interrupts,
): Promise<EngineOutcome> {
  const kept = parseStorageFile(bytes, file);
  const { pid, startTime } = kept.target;
  const listener = findListener(target);
  if (listener?.pid !== pid || listener.startTime !== startTime)
    throw new CodedError(
      'recovery',
      'another-vm',
      `the target of ${file}, process ${pid}, is not seen to wait on ${target}: tell it {"execute": "migrate-recover", "arguments": ` +
        '{"uri": "unix:PATH"}}, and run this on its host, with its own socket',
    );
  // The file lies where QEMU's user may write: what it names is opened with no more rights than this user has himself.
  if (process.getuid?.() === 0 && owner.uid !== 0) become(owner);
  const places = kept.places.map(({ name, location }) => ({ name, location }));
  const storage = new ListedStorage(given.length > 0 ? given : places, defaultLimits.storageMs, onEvent);
  try {
    await storage.open(kept);
    return await recover({
      left: new StorageRest({ ...kept, blocks: blocksOf(kept.blocks) }, storage),
      targetPath: target,
      stallMs: stallLimit * 1000,
      onEvent,
      interrupts,
    });
  } finally {
    storage.close();
  }
}

async function recoverFromMemory(
  { file, bytes, owner }: FileRead,
  { target, stallLimit }: RecoverArguments,
  onEvent: EventSink,
  interrupts: Interrupts,
): Promise<EngineOutcome> {
  const kept = parseRecoveryFile(bytes.toString(), file);
  const { ram: places, processes, memoryMap, ramSectionId, blocks: named } = kept;
  const gone = processes.find((process) => !isAlive(process));
  if (gone !== undefined)
    throw new CodedError(
      'recovery',
      'vm-gone',
      `the QEMU that this VM was moved from, process ${gone.pid}, has ended, and what is missing at the destination with it: ` +
        'start the VM anew from its disk, as after a power failure',
    );
  const ram = openGuestRam(places, () => memoryMap);
  try {
    // The file lies where QEMU's user may write: it names nothing to root that this user has not himself.
    if (owner.uid !== 0 && ram.owners.some((other) => other !== owner.uid))
      throw new CodedError(
        'recovery',
        'file',
        `${file} names memory of another user than its own, ${owner.uid}`,
      );
    const blocks = blocksOf(named);
    return await recover({
      left: { ramSectionId, blocks, ram: (block) => ram.block(block, blocks) },
      targetPath: target,
      stallMs: stallLimit * 1000,
      onEvent,
      interrupts,
    });
  } finally {
    ram.close();
  }
}
