/** Stock QEMU: pre-copy, the paper's conventional method, and what else QEMU offers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DowntimeRamp, StockEngine } from '../../../experiments/engines.ts';
import { downtimeStepsOf } from './downtime-ramp.ts';
import {
  type Migration,
  type MigrationContext,
  commandMigration,
  setUpQemu,
  tellSource,
} from './migration.ts';

export function stock(context: MigrationContext, engine: StockEngine): Migration {
  const uri = `tcp:${context.testbed.networks.migration.addresses.dst}:${context.vm.migrationPort}`;
  const ended = new AbortController();
  const signal = AbortSignal.any([context.signal, ended.signal]);
  return {
    run: async () => {
      await setUpQemu(context, engine);
      await context.target.execute('migrate-incoming', { uri });
      const { downtimeRamp, postcopyAfterMs } = engine;
      if (downtimeRamp !== undefined) raiseDowntimeLimit(context, downtimeRamp, signal);
      const migrating = commandMigration(context, uri);
      if (postcopyAfterMs !== undefined) {
        await Promise.race([migrating, sleep(postcopyAfterMs, undefined, { signal })]);
        await context.source.execute('migrate-start-postcopy');
      }
      return migrating.finally(() => {
        ended.abort();
      });
    },
    close: () => {
      ended.abort();
      return Promise.resolve();
    },
  };
}

/** Gives the first limit at once and each other one when its time has come, until the signal aborts. */
function raiseDowntimeLimit(context: MigrationContext, ramp: DowntimeRamp, signal: AbortSignal): void {
  const tell = (limitMs: number): void => {
    tellSource(context, 'downtime-limit', 'downtime_limit_ms', limitMs);
  };
  for (const { afterMs, limitMs } of downtimeStepsOf(ramp, context.configuration.vmMemoryBytes)) {
    if (afterMs === 0) {
      tell(limitMs);
      continue;
    }
    const timer = setTimeout(tell, afterMs, limitMs);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
    });
  }
}
