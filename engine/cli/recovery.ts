/** What the command line does for the recovery of an early resume: keeps what it needs, and carries one out. */
import { rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '../../foundation/coded-error.ts';
import { identityOf, isAlive, type ProcessIdentity } from '../../foundation/process-identity.ts';
import type { EventSink } from '../core/engine-event.ts';
import type { EngineOutcome, Interrupts } from '../core/engine-options.ts';
import { pageSizeBytes } from '../list/page-list.ts';
import { holdersOf } from '../recovery/memory-holders.ts';
import { recover } from '../recovery/recover.ts';
import { readRecoveryFile, recoveryPathOf, writeRecoveryFile } from '../recovery/recovery-file.ts';
import { type GuestRamPlace, openGuestRam } from '../source/guest-ram.ts';
import type { MovedFrom } from '../source/source-options.ts';

/** Keeps it beside the socket for QEMU. */
export class RecoveryKeeper {
  readonly #path: string;
  readonly #ram: readonly GuestRamPlace[];
  readonly #memoryMap: (() => string | undefined) | undefined;
  readonly #processes: readonly ProcessIdentity[];

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
  }

  /** The migration has ended so: it stays where the VM may be at the destination without all of its memory. */
  end({ result }: EngineOutcome): void {
    if (result === 'incomplete' || result === 'in-doubt') return;
    rmSync(this.#path, { force: true });
  }
}

interface RecoverArguments {
  readonly target: string;
  readonly stallLimit: number;
}

/** @throws CodedError 'recovery', 'source' before the target was spoken to */
export async function recoverFrom(
  file: string,
  { target, stallLimit }: RecoverArguments,
  onEvent: EventSink,
  interrupts: Interrupts,
): Promise<EngineOutcome> {
  const { ram: places, processes, memoryMap, ramSectionId, blocks: named } = readRecoveryFile(file);
  const owner = statSync(file).uid;
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
    if (owner !== 0 && ram.owners.some((other) => other !== owner))
      throw new CodedError('recovery', 'file', `${file} names memory of another user than its own, ${owner}`);
    const blocks = named.map(({ name, pageCount }, index) => ({
      ...{ index, name, pageCount },
      lengthBytes: pageCount * pageSizeBytes,
    }));
    const outcome = await recover({
      memory: { ramSectionId, blocks, ram: (block) => ram.block(block, blocks) },
      targetPath: target,
      stallMs: stallLimit * 1000,
      onEvent,
      interrupts,
    });
    if (outcome.result === 'migrated') rmSync(file, { force: true });
    return outcome;
  } finally {
    ram.close();
  }
}
