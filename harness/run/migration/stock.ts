/** Stock QEMU: pre-copy, the paper's conventional method, and what else QEMU offers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StockEngine } from '../../../experiments/engines.ts';
import {
  type Migration,
  type MigrationContext,
  commandMigration,
  migrationPort,
  setUpQemu,
} from './migration.ts';

export function stock(context: MigrationContext, engine: StockEngine): Migration {
  const uri = `tcp:${context.testbed.networks.migration.addresses.dst}:${migrationPort}`;
  const ended = new AbortController();
  return {
    run: async () => {
      await setUpQemu(context, engine);
      await context.target.execute('migrate-incoming', { uri });
      const migrating = commandMigration(context, uri);
      if (engine.postcopyAfterMs !== undefined) {
        const switchSignal = AbortSignal.any([context.signal, ended.signal]);
        await Promise.race([migrating, sleep(engine.postcopyAfterMs, undefined, { signal: switchSignal })]);
        await context.source.execute('migrate-start-postcopy');
      }
      return migrating;
    },
    close: () => {
      ended.abort();
      return Promise.resolve();
    },
  };
}
