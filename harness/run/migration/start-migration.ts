import type { EngineName } from '../../../experiments/engines.ts';
import { throughEngine } from './engine.ts';
import type { Migration, MigrationContext } from './migration.ts';
import { precopy } from './precopy.ts';

/** The way to migrate that `--engine` names. */
export function migrationOf(engine: EngineName, context: MigrationContext): Migration {
  switch (engine) {
    case 'precopy':
      return precopy(context);
    case 'restore':
      return throughEngine(context, 'restore');
  }
}
