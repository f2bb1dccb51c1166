import type { PoolshiftEngine, StockEngine } from '../../../experiments/engines.ts';
import { throughEngine } from './engine.ts';
import type { Migration, MigrationContext } from './migration.ts';
import { shrunk } from './shrink.ts';
import { stock } from './stock.ts';

/** The way to migrate of that engine. */
export function migrationOf(engine: StockEngine | PoolshiftEngine, context: MigrationContext): Migration {
  if (engine.kind === 'poolshift') return throughEngine(context, engine);
  const { shrinksPoolTo } = engine;
  if (shrinksPoolTo === undefined) return stock(context, engine);
  return shrunk(context, shrinksPoolTo, stock({ ...context, begun: true }, engine));
}
