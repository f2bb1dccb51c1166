import type { PoolshiftEngine, StockEngine } from '../../../experiments/engines.ts';
import { throughEngine } from './engine.ts';
import type { Migration, MigrationContext } from './migration.ts';
import { stock } from './stock.ts';

/** The way to migrate of that engine. */
export function migrationOf(engine: StockEngine | PoolshiftEngine, context: MigrationContext): Migration {
  return engine.kind === 'stock' ? stock(context, engine) : throughEngine(context, engine);
}
