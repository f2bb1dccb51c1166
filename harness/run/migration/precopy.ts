/** Stock QEMU pre-copy: the paper's conventional method. */
import {
  type Migration,
  type MigrationContext,
  commandMigration,
  migrationPort,
  setUpQemu,
} from './migration.ts';

export function precopy(context: MigrationContext): Migration {
  const uri = `tcp:${context.testbed.networks.migration.addresses.dst}:${migrationPort}`;
  return {
    run: async () => {
      await setUpQemu(context);
      await context.target.execute('migrate-incoming', { uri });
      return commandMigration(context, uri);
    },
    close: () => Promise.resolve(),
  };
}
