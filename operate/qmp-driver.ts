/** A migration that this command drives itself, by QMP, between two QEMUs that somebody else started. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../foundation/coded-error.ts';
import type { QmpClient } from '../qemu/qmp/client.ts';
import { postcopyAlways } from '../qemu/qmp/early-resume.ts';
import type { MigrationCapability, MigrationInfo, MigrationParameters } from '../qemu/qmp/messages.ts';
import type { VmState } from './course.ts';
import type { JobFigures } from './progress.ts';
import type { Driver } from './run-migration.ts';

interface QmpMigration {
  readonly source: QmpClient;
  readonly target: QmpClient;
  /** Where the source's QEMU sends, and where the target's waits. */
  readonly outgoingUri: string;
  readonly incomingUri: string;
  readonly throughEngines: boolean;
  /** Early resume. */
  readonly early: boolean;
  readonly bandwidthBytesPerSecond?: number;
  readonly switchoverBytesPerSecond?: number;
  readonly maxDowntimeMs?: number;
  readonly timeoutMs?: number;
}

/** Beyond any link: QEMU counts bytes before the engine leaves pages out. */
const noLimitBytesPerSecond = 100e9;
const pollMs = 100;
const answerMs = 20_000;

/** What both QEMUs are told before: what an old one does not know is left out. Pure. */
export function parametersOf(
  migration: Omit<QmpMigration, 'source' | 'target'>,
): readonly MigrationParameters[] {
  const { throughEngines, early, bandwidthBytesPerSecond, switchoverBytesPerSecond, maxDowntimeMs } =
    migration;
  const maxBandwidth = bandwidthBytesPerSecond ?? (throughEngines ? noLimitBytesPerSecond : undefined);
  return [
    ...(maxBandwidth === undefined ? [] : [{ 'max-bandwidth': maxBandwidth }]),
    ...(early ? [postcopyAlways] : []),
    ...(maxDowntimeMs === undefined || early ? [] : [{ 'downtime-limit': maxDowntimeMs }]),
    ...(switchoverBytesPerSecond === undefined || early
      ? []
      : [{ 'avail-switchover-bandwidth': switchoverBytesPerSecond }]),
  ];
}

/** QEMU's words for where its VM is (qapi/run-state.json). Pure. */
export function sourceStateOf(status: string): VmState {
  switch (status) {
    case 'running':
      return 'running';
    // It has been migrated, and never runs again by itself.
    case 'postmigrate':
      return 'absent';
    case 'paused':
    case 'finish-migrate':
    case 'io-error':
      return 'paused';
    default:
      return 'unknown';
  }
}

/** The same of a target. Pure. */
export function targetStateOf(status: string): VmState {
  switch (status) {
    case 'running':
      return 'running';
    // Nothing has come, or not all.
    case 'inmigrate':
      return 'absent';
    case 'paused':
    case 'prelaunch':
      return 'paused';
    default:
      return 'unknown';
  }
}

export function jobOf({ ram, downtime }: MigrationInfo): JobFigures {
  const remaining = ram?.remaining;
  const pages = ram?.['dirty-pages-rate'];
  return {
    ...(remaining === undefined ? {} : { remainingBytes: remaining }),
    ...(pages === undefined ? {} : { dirtyBytesPerSecond: pages * 4096 }),
    ...(downtime === undefined ? {} : { downtimeMs: downtime }),
  };
}

/** Optional ones: an old QEMU goes without. */
async function unlessUnknown(body: () => Promise<unknown>): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!isCoded(error, 'qmp', 'command-failed')) throw error;
  }
}

async function prepare({ source, target, ...migration }: QmpMigration): Promise<void> {
  // Of a target that waits this is -S: it does not start by itself (monitor/qmp-cmds.c, qmp_stop).
  await target.execute('stop');
  const capabilities: readonly MigrationCapability[] = migration.throughEngines
    ? ['return-path', 'switchover-ack']
    : [];
  for (const qemu of [source, target])
    for (const capability of capabilities)
      await unlessUnknown(() =>
        qemu.execute('migrate-set-capabilities', { capabilities: [{ capability, state: true }] }),
      );
  // Without it there is no early resume, and QEMU says why.
  if (migration.early)
    for (const qemu of [source, target])
      await qemu.execute('migrate-set-capabilities', {
        capabilities: [
          { capability: 'events', state: true },
          { capability: 'postcopy-ram', state: true },
        ],
      });
  for (const parameters of parametersOf(migration))
    await unlessUnknown(() => source.execute('migrate-set-parameters', parameters));
  await target.execute('migrate-incoming', { uri: migration.incomingUri });
  await source.execute('migrate', { uri: migration.outgoingUri });
  if (migration.early) await source.execute('migrate-start-postcopy');
}

/** Nothing comes after these; a broken post-copy waits for a recovery (docs/engine.md). */
const ended = ['completed', 'failed', 'cancelled', 'postcopy-paused'] as const;

/** Early resume, where each round trip to a host would lengthen the downtime. */
class EarlyMove implements NonNullable<Driver['early']> {
  readonly #source: QmpClient;
  readonly #target: QmpClient;
  #continuing: Promise<number> | undefined;

  constructor(source: QmpClient, target: QmpClient) {
    this.#source = source;
    this.#target = target;
  }

  /**
   * Continues the target as soon as it says that it has its device state, of which the engine holds the end back until the commit.
   * @returns what ends that: nothing is continued any more once it has settled
   */
  watch(): () => Promise<void> {
    const stop = this.#target.onEvent(({ name, data }) => {
      if (name === 'MIGRATION' && data['status'] === 'postcopy-active')
        void this.continueTarget().catch(() => undefined);
    });
    return async () => {
      stop();
      await this.#continuing?.catch(() => undefined);
    };
  }

  async stopForMove(): Promise<void> {
    await this.#source.execute('stop');
  }

  continueTarget(): Promise<number> {
    return (this.#continuing ??= this.#target.execute('cont').then(() => performance.now()));
  }

  async giveBack(): Promise<void> {
    try {
      const { status } = await this.#source.execute('query-migrate', {}, { timeoutMs: answerMs });
      if (status === 'failed' || status === 'cancelled') await this.#source.execute('cont');
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  }
}

export function qmpDriver(migration: QmpMigration): Driver {
  const { source, target, timeoutMs } = migration;
  const early = migration.early ? new EarlyMove(source, target) : undefined;

  /** @throws CodedError 'qmp' */
  const untilSourceHasEnded = async (): Promise<MigrationInfo> => {
    const startMs = performance.now();
    let suspended = false;
    for (;;) {
      const info = await source.execute('query-migrate');
      if (ended.some((status) => status === info.status)) return info;
      if (timeoutMs !== undefined && !suspended && performance.now() - startMs > timeoutMs) {
        suspended = true;
        await source.execute('stop');
      }
      await sleep(pollMs);
    }
  };

  const stateOf = async (qemu: QmpClient, read: (status: string) => VmState): Promise<VmState> => {
    try {
      return read((await qemu.execute('query-status', {}, { timeoutMs: answerMs })).status);
    } catch {
      return 'unknown';
    }
  };

  return {
    migrate: async () => {
      const stopContinuing = early?.watch();
      try {
        const { running } = await source.execute('query-status');
        await prepare(migration);
        const info = await untilSourceHasEnded();
        if (info.status !== 'completed')
          return {
            succeeded: false,
            says: `QEMU: ${info['error-desc'] ?? info.status ?? 'no reason given'}`,
          };
        // Only now can the source's VM not run any more; one that has moved early runs already.
        if (running) await target.execute('cont');
        return { succeeded: true, says: '' };
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        return { succeeded: false, says: `QEMU: ${error.message}` };
      } finally {
        await stopContinuing?.();
      }
    },
    abort: async () => {
      const { status } = await source.execute('query-migrate');
      if (status === undefined || status === 'none') throw new Error('there is no migration yet');
      await source.execute('migrate_cancel');
    },
    look: async () => {
      const [atSource, atTarget] = await Promise.all([
        stateOf(source, sourceStateOf),
        stateOf(target, targetStateOf),
      ]);
      return { source: atSource, destination: atTarget };
    },
    job: async () => {
      try {
        return jobOf(await source.execute('query-migrate', {}, { timeoutMs: answerMs }));
      } catch {
        return undefined;
      }
    },
    ...(early === undefined ? {} : { early }),
    completed: async () => {
      try {
        return jobOf(await source.execute('query-migrate', {}, { timeoutMs: answerMs }));
      } catch {
        return undefined;
      }
    },
  };
}
