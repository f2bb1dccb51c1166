/** A migration that this command drives itself, by QMP, between two QEMUs that somebody else started. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../foundation/coded-error.ts';
import { postcopyAlways } from '../qemu/qmp/early-resume.ts';
import type {
  MigrationCapability,
  MigrationInfo,
  MigrationParameters,
  QmpCommands,
} from '../qemu/qmp/messages.ts';
import type { VmState } from './course.ts';
import type { Qemu } from './monitor.ts';
import type { JobFigures } from './progress.ts';
import type { Driver } from './run-migration.ts';

interface QmpMigration {
  readonly source: Qemu;
  readonly target: Qemu;
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

/** What the source is told before, of what its QEMU knows. Pure. */
export function parametersOf(
  migration: Omit<QmpMigration, 'source' | 'target'>,
  known: Readonly<Record<string, unknown>>,
): MigrationParameters {
  const { throughEngines, early, bandwidthBytesPerSecond, switchoverBytesPerSecond, maxDowntimeMs } =
    migration;
  const maxBandwidth = bandwidthBytesPerSecond ?? (throughEngines ? noLimitBytesPerSecond : undefined);
  const wanted: MigrationParameters = {
    ...(maxBandwidth === undefined ? {} : { 'max-bandwidth': maxBandwidth }),
    ...(maxDowntimeMs === undefined ? {} : { 'downtime-limit': maxDowntimeMs }),
    ...(switchoverBytesPerSecond === undefined
      ? {}
      : { 'avail-switchover-bandwidth': switchoverBytesPerSecond }),
    ...(early ? postcopyAlways : {}),
  };
  return only(Object.keys(known), wanted);
}

function only(names: readonly string[], parameters: MigrationParameters): MigrationParameters {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => names.includes(name)));
}

type Capabilities = readonly { readonly capability: string; readonly state: boolean }[];

/**
 * What has to be on and off at both ends, of what both know. A QEMU keeps what an earlier migration has switched on, and its new other end
 * does not have it: an acknowledgement that nobody gives is waited for without end, and post-copy that one end alone knows is refused. Pure.
 */
export function capabilitiesOf(
  { throughEngines, early }: Pick<QmpMigration, 'throughEngines' | 'early'>,
  [source, target]: readonly [Capabilities, Capabilities],
): QmpCommands['migrate-set-capabilities']['capabilities'] {
  const stateIn = (capabilities: Capabilities, name: string): boolean | undefined =>
    capabilities.find(({ capability }) => capability === name)?.state;
  const isOnInBoth = (name: MigrationCapability): boolean =>
    stateIn(source, name) === true && stateIn(target, name) === true;
  const wanted: readonly (readonly [MigrationCapability, boolean])[] = [
    // With release-ram the source throws away what a recovery would need.
    ...(early
      ? ([
          ['events', true],
          ['release-ram', false],
        ] as const)
      : []),
    ...(throughEngines ? ([['return-path', true]] as const) : []),
    ['switchover-ack', throughEngines || isOnInBoth('switchover-ack')],
    ['postcopy-ram', early || isOnInBoth('postcopy-ram')],
    ['postcopy-preempt', isOnInBoth('postcopy-preempt')],
  ];
  return wanted.flatMap(([capability, state]) => {
    const knows = [source, target].filter((one) => stateIn(one, capability) !== undefined);
    if (knows.length === 0) return [];
    return [{ capability, state: state && knows.length === 2 }];
  });
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
    // The guest has powered off (-no-shutdown).
    case 'shutdown':
      return 'ended';
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
    case 'shutdown':
      return 'ended';
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

/** A migration before QEMU is told to begin it: Ctrl-C has nothing to cancel there yet. */
class Beginning {
  #is: 'before' | 'telling' | 'told' = 'before';
  #unwanted = false;

  get isTold(): boolean {
    return this.#is === 'told';
  }

  /** @returns false where nobody wants it any more @throws CodedError 'qmp' */
  async tell(source: Qemu, uri: string): Promise<boolean> {
    if (this.#unwanted) return false;
    this.#is = 'telling';
    try {
      await source.execute('migrate', { uri });
    } catch (error) {
      // It may have been heard all the same: nobody would continue the VM at the target.
      await source.execute('migrate_cancel').catch(() => undefined);
      throw error;
    }
    this.#is = 'told';
    return true;
  }

  /** @throws Error while it is being told @throws CodedError 'qmp' */
  async cancel(source: Qemu): Promise<void> {
    switch (this.#is) {
      case 'before':
        this.#unwanted = true;
        return;
      case 'telling':
        throw new Error('there is no migration yet');
      case 'told':
        await source.execute('migrate_cancel');
    }
  }
}

/** Capabilities and parameters of both for this migration, and what the source's were. */
class Settings {
  readonly #migration: QmpMigration;
  readonly #capabilities: readonly [Capabilities, Capabilities];
  readonly #parameters: Readonly<Record<string, unknown>>;

  private constructor(
    migration: QmpMigration,
    capabilities: readonly [Capabilities, Capabilities],
    parameters: Readonly<Record<string, unknown>>,
  ) {
    this.#migration = migration;
    this.#capabilities = capabilities;
    this.#parameters = parameters;
  }

  /** @throws CodedError 'qmp' */
  static async read(migration: QmpMigration): Promise<Settings> {
    const { source, target } = migration;
    const capabilities = [
      await source.execute('query-migrate-capabilities'),
      await target.execute('query-migrate-capabilities'),
    ] as const;
    return new Settings(migration, capabilities, await source.execute('query-migrate-parameters'));
  }

  /** @throws CodedError 'qmp' */
  async set(): Promise<void> {
    const { source, target } = this.#migration;
    const wanted = capabilitiesOf(this.#migration, this.#capabilities);
    const known = ([source, target] as const).map((qemu, index) => ({
      qemu,
      capabilities: wanted.filter(({ capability }) =>
        this.#capabilities[index]?.some((one) => one.capability === capability),
      ),
    }));
    for (const { qemu, capabilities } of known)
      await qemu.execute('migrate-set-capabilities', { capabilities });
    await source.execute('migrate-set-parameters', parametersOf(this.#migration, this.#parameters));
  }

  /** Of the source, where the VM stays. Never rejects. */
  async putBack(): Promise<void> {
    const { source } = this.#migration;
    const [before] = this.#capabilities;
    const capabilities = capabilitiesOf(this.#migration, this.#capabilities).flatMap(({ capability }) => {
      const was = before.find((one) => one.capability === capability);
      return was === undefined ? [] : [{ capability, state: was.state }];
    });
    const changed = Object.keys(parametersOf(this.#migration, this.#parameters));
    try {
      await source.execute('migrate-set-capabilities', { capabilities });
      await source.execute('migrate-set-parameters', only(changed, this.#parameters as MigrationParameters));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  }
}

/** Nothing comes after these; a broken post-copy waits for a recovery (docs/early-resume.md). */
const ended = ['completed', 'failed', 'cancelled', 'postcopy-paused'] as const;

/** Early resume, where each round trip to a host would lengthen the downtime. */
class EarlyMove implements NonNullable<Driver['early']> {
  readonly #source: Qemu;
  readonly #target: Qemu;
  #continuing: Promise<number> | undefined;

  constructor(source: Qemu, target: Qemu) {
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
  const beginning = new Beginning();

  /** For `--timeout`. */
  let suspended = false;

  /** @throws CodedError 'qmp' */
  const untilSourceHasEnded = async (): Promise<MigrationInfo> => {
    const startMs = performance.now();
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

  const stateOf = async (qemu: Qemu, read: (status: string) => VmState): Promise<VmState> => {
    try {
      return read((await qemu.execute('query-status', {}, { timeoutMs: answerMs })).status);
    } catch {
      return (await qemu.hasEnded?.()) === true ? 'ended' : 'unknown';
    }
  };

  return {
    migrate: async () => {
      const stopContinuing = early?.watch();
      try {
        const { running } = await source.execute('query-status');
        // Of a target that waits this is -S: it does not start by itself (monitor/qmp-cmds.c, qmp_stop).
        await target.execute('stop');
        const settings = await Settings.read(migration);
        let info: MigrationInfo;
        try {
          await settings.set();
          await target.execute('migrate-incoming', { uri: migration.incomingUri });
          if (!(await beginning.tell(source, migration.outgoingUri))) {
            await settings.putBack();
            return { succeeded: false, says: 'aborted before it began' };
          }
          if (migration.early) await source.execute('migrate-start-postcopy');
          info = await untilSourceHasEnded();
        } catch (error) {
          if (!beginning.isTold) await settings.putBack();
          throw error;
        }
        // One that is broken is recovered with what it has.
        if (info.status === 'failed' || info.status === 'cancelled') {
          await settings.putBack();
          // QEMU leaves a VM stopped that was stopped in its migration. The target waits, and is told to go on by nobody but this.
          if (suspended) await source.execute('cont');
        }
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
      await beginning.cancel(source);
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
