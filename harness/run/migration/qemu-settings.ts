/** What both QEMUs are set to before a migration. Pure. */
import type { PoolshiftEngine, StockEngine } from '../../../experiments/engines.ts';
import { postcopyAlways } from '../../../qemu/qmp/early-resume.ts';
import type { MigrationCapability, MigrationParameters } from '../../../qemu/qmp/messages.ts';
import type { MigrationSettings } from '../../../qemu/settings-probe.ts';

/**
 * Set alike in every run: the meaning of QEMU's `downtime` depends on `return-path`. Events give the time of each state.
 */
const commonCapabilities: readonly MigrationCapability[] = ['events', 'return-path', 'switchover-ack'];

/** So that bridges learn quickly where the guest is now; the first announcement follows at once. */
const announceParameters: MigrationParameters = {
  'announce-initial': 20,
  'announce-max': 200,
  'announce-rounds': 10,
  'announce-step': 40,
};

function ofEngine(
  { strategy }: PoolshiftEngine,
  goodputBytesPerSecond: number,
): Pick<StockEngine, 'capabilities'> & { readonly parameters: MigrationParameters } {
  if (strategy === 'resume') return { capabilities: ['postcopy-ram'], parameters: postcopyAlways };
  // QEMU's own estimate sees how fast the engine reads, not how fast the link is.
  return {
    capabilities: [],
    parameters: { 'avail-switchover-bandwidth': Math.round(goodputBytesPerSecond) },
  };
}

export function qemuSettings(
  engine: StockEngine | PoolshiftEngine,
  run: {
    readonly downtimeLimitMs: number;
    /** Payload that the migration link carries, in bytes per second. */
    readonly migrationGoodputBytesPerSecond: number;
  },
): MigrationSettings {
  const own: Pick<StockEngine, 'capabilities'> & { readonly parameters: MigrationParameters } =
    engine.kind === 'stock' ? engine : ofEngine(engine, run.migrationGoodputBytesPerSecond);
  return {
    capabilities: [...commonCapabilities, ...own.capabilities].map((capability) => ({
      capability,
      state: true,
    })),
    parameters: {
      ...announceParameters,
      // The links are what limits; QEMU's own default is 128 MiB/s.
      'max-bandwidth': 100e9,
      'downtime-limit': run.downtimeLimitMs,
      ...own.parameters,
    },
  };
}
