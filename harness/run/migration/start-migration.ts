import { type EngineName, engines } from '../../../experiments/engines.ts';
import { throughEngine } from './engine.ts';
import type { Migration, MigrationContext } from './migration.ts';
import { stock } from './stock.ts';

/** The way to migrate that `--engine` names. */
export function migrationOf(name: EngineName, context: MigrationContext): Migration {
  const engine = engines[name];
  return engine.kind === 'stock' ? stock(context, engine) : throughEngine(context, engine.strategy);
}
