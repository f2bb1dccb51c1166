/** What every way to migrate has in common: both VMs are up, the target waits, the load runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded } from '../../../foundation/coded-error.ts';
import type { Configuration } from '../../../experiments/configuration.ts';
import type { PoolshiftEngine, StockEngine } from '../../../experiments/engines.ts';
import type { RunLog } from '../../../record/run-log.ts';
import type { Testbed } from '../../testbed/host.ts';
import type { QmpClient } from '../../../qemu/qmp/client.ts';
import type { MigrationCapability, MigrationInfo, QmpEvent } from '../../../qemu/qmp/messages.ts';
import { nowMs } from '../../probes/wall-clock.ts';
import type { VmPlace } from '../../vm/vm-place.ts';
import type { DatabaseServer } from '../../workload/database-server.ts';
import { qemuSettings } from './qemu-settings.ts';

export interface MigrationContext {
  readonly configuration: Configuration;
  readonly testbed: Testbed;
  readonly source: QmpClient;
  readonly target: QmpClient;
  readonly vm: VmPlace;
  /** In the VM. */
  readonly server: DatabaseServer;
  /** Payload that the migration link carries, in bytes per second, as measured before the run. */
  readonly migrationGoodputBytesPerSecond: number;
  /** The VM's disk image, as the engine's `--storage` takes it on the destination. */
  readonly storagePlace: string;
  /** The run began before QEMU's command, which is not recorded as its beginning then. */
  readonly begun?: true;
  /** Makes a file of this machine readable on a host; returns its path there. */
  readonly deploy: (localPath: string, host: 'src' | 'dst') => Promise<string>;
  readonly log: RunLog;
  readonly signal: AbortSignal;
}

/** `cancelled`: it took longer than --max-time; the VM runs on at the source. */
type MigrationOutcome = 'completed' | 'cancelled';

/** A way to migrate. It commands QEMU and returns when the VM runs at the destination, or at the source for good. */
export interface Migration {
  run(): Promise<MigrationOutcome>;
  /** Ends what it started on the hosts. Idempotent. */
  close(): Promise<void>;
}

type SetUp = Pick<
  MigrationContext,
  'source' | 'target' | 'configuration' | 'migrationGoodputBytesPerSecond'
> & {
  readonly log: Pick<RunLog, 'event'>;
};

/** Sets capabilities and parameters on both sides. @throws CodedError 'qmp' where QEMU lacks one that is not optional */
export async function setUpQemu(context: SetUp, engine: StockEngine | PoolshiftEngine): Promise<void> {
  const { capabilities, parameters } = qemuSettings(engine, {
    downtimeLimitMs: context.configuration.downtimeLimitMs,
    migrationGoodputBytesPerSecond: context.migrationGoodputBytesPerSecond,
  });
  for (const qemu of [context.source, context.target]) {
    await qemu.execute('migrate-set-capabilities', { capabilities });
    await qemu.execute('migrate-set-parameters', parameters);
  }
  if (engine.kind === 'stock')
    for (const capability of engine.optionalCapabilities ?? []) await switchOn(capability, context);
}

async function switchOn(capability: MigrationCapability, { source, target, log }: SetUp): Promise<void> {
  try {
    for (const qemu of [source, target])
      await qemu.execute('migrate-set-capabilities', { capabilities: [{ capability, state: true }] });
  } catch (error) {
    if (!isCoded(error, 'qmp') || error.code !== 'command-failed') throw error;
    log.event({ event: 'note', at_ms: nowMs(), text: `without ${capability}: ${error.message}` });
  }
}

/** What waiting for a migration's end needs. */
type Waiting = Pick<MigrationContext, 'source' | 'target' | 'configuration' | 'signal' | 'begun'> & {
  readonly log: Pick<RunLog, 'event'>;
};

const pollMs = 50;

/**
 * Commands the migration and waits for its end: until the target runs, or until the source has given up.
 * @param onInfo gets what QEMU says of the migration while it goes on, each time that it is asked
 * @throws CodedError 'run', 'migration-failed' with QEMU's reason when it failed
 */
export async function commandMigration(
  context: Waiting,
  uri: string,
  onInfo: (info: MigrationInfo) => void = () => undefined,
): Promise<MigrationOutcome> {
  const { source, target, configuration, log, signal } = context;
  if (context.begun !== true) log.event({ event: 'migrate-command', at_ms: nowMs(), uri });
  const stopContinuing = configuration.verifyRam ? undefined : continueWhenMoved(source, target, log);
  try {
    await source.execute('migrate', { uri });
    const outcome = await waitForSource(context, onInfo);
    if (outcome === 'cancelled') return outcome;
  } finally {
    stopContinuing?.();
  }
  // Its event may have been lost; a VM that runs already is left as it is.
  if (!configuration.verifyRam) await target.execute('cont');
  await waitForTarget(target, configuration.verifyRam, signal);
  return 'completed';
}

/**
 * Continues the target, which was started with -S, as soon as the source's VM cannot run any more: QEMU there has completed,
 * or, in post-copy, the target has the processors' state. Returns what ends it.
 */
function continueWhenMoved(source: QmpClient, target: QmpClient, log: Pick<RunLog, 'event'>): () => void {
  const onStatus = (status: string) => (event: QmpEvent) => {
    if (event.name !== 'MIGRATION' || event.data['status'] !== status) return;
    target.execute('cont').catch((error: unknown) => {
      log.event({
        event: 'note',
        at_ms: nowMs(),
        text: `the target could not be continued: ${String(error)}`,
      });
    });
  };
  const ends = [source.onEvent(onStatus('completed')), target.onEvent(onStatus('postcopy-active'))];
  return () => {
    for (const end of ends) end();
  };
}

/** @throws CodedError 'run', 'migration-failed' with QEMU's reason when it failed */
async function waitForSource(
  { source, configuration, log, signal }: Waiting,
  onInfo: (info: MigrationInfo) => void,
): Promise<MigrationOutcome> {
  const deadlineMs = performance.now() + configuration.maxTimeSeconds * 1000;
  let cancelling = false;
  for (;;) {
    signal.throwIfAborted();
    const info = await source.execute('query-migrate');
    if (info.status === 'completed') return 'completed';
    if (info.status === 'cancelled') return 'cancelled';
    if (info.status === 'failed') {
      if (cancelling) return 'cancelled';
      throw new CodedError(
        'run',
        'migration-failed',
        `QEMU reports that the migration failed: ${info['error-desc'] ?? 'no reason given'}`,
      );
    }
    if (info.status === 'postcopy-paused')
      throw new CodedError(
        'run',
        'migration-failed',
        'post-copy has lost its connection: the VM is at the destination, stands wherever it needs a page that has not come ' +
          `yet, and would go on waiting for it (QEMU: ${info['error-desc'] ?? 'no reason given'}; recover it by migrate-recover)`,
      );
    onInfo(info);
    // Half of a VM in post-copy is at the destination: cancelling would lose it.
    const canCancel = info.status?.startsWith('postcopy') !== true;
    if (!canCancel && performance.now() > deadlineMs)
      throw new CodedError(
        'run',
        'migration-failed',
        `post-copy has not ended within ${configuration.maxTimeSeconds} s (--max-time), and cannot be cancelled: its VM is at the destination already`,
      );
    if (!cancelling && performance.now() > deadlineMs) {
      cancelling = true;
      log.event({
        event: 'note',
        at_ms: nowMs(),
        text: `not completed within ${configuration.maxTimeSeconds} s (--max-time): cancelling`,
      });
      await source.execute('migrate_cancel');
    }
    await sleep(pollMs, undefined, { signal });
  }
}

/** With --verify-ram the target stays paused when all has arrived. */
async function waitForTarget(target: QmpClient, staysPaused: boolean, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  for (;;) {
    const { status } = await target.execute('query-status');
    if (status === 'running' || (staysPaused && status === 'paused')) return;
    if (performance.now() > deadlineMs)
      throw new CodedError(
        'run',
        'migration-failed',
        `the source has completed, but the target is still "${status}" after 30 s`,
      );
    await sleep(pollMs, undefined, { signal });
  }
}

/** Changes a parameter of a migration that goes on, and records it as a sample; what QEMU refuses is noted. */
export function tellSource(
  { source, log }: Pick<MigrationContext, 'source' | 'log'>,
  parameter: 'avail-switchover-bandwidth' | 'downtime-limit',
  metric: string,
  value: number,
): void {
  const at_ms = nowMs();
  log.sample({ at_ms, host: 'src', metric, value });
  source.execute('migrate-set-parameters', { [parameter]: value }).catch((error: unknown) => {
    log.event({ event: 'note', at_ms, text: `${parameter} could not be set: ${String(error)}` });
  });
}
