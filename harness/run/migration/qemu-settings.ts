/** What both QEMUs are set to before a migration. Pure. */
import type { PoolshiftEngine, StockEngine } from '../../../experiments/engines.ts';
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

export function qemuSettings(
  engine: StockEngine | PoolshiftEngine,
  run: {
    readonly downtimeLimitMs: number;
    /** Payload that the migration link carries, in bytes per second. */
    readonly migrationGoodputBytesPerSecond: number;
  },
): MigrationSettings {
  const own: Pick<StockEngine, 'capabilities'> & { readonly parameters: MigrationParameters } =
    engine.kind === 'stock'
      ? engine
      : {
          capabilities: [],
          // QEMU's own estimate sees how fast the engine reads, not how fast the link is.
          parameters: { 'avail-switchover-bandwidth': Math.round(run.migrationGoodputBytesPerSecond) },
        };
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
