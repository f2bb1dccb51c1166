/** One migration in simulated time, by the name of its engine. */
import type { Setup, SimulatedMigration } from './migration.ts';
import { simulateEngine } from './simulate-engine.ts';
import { simulateStock } from './simulate-stock.ts';

export const simulatedEngines = ['precopy', 'multifd-zstd', 'restore', 'balance'] as const;
export type SimulatedEngine = (typeof simulatedEngines)[number];

export function simulate(engine: SimulatedEngine, setup: Setup): SimulatedMigration {
  switch (engine) {
    case 'precopy':
      return simulateStock(setup, false);
    case 'multifd-zstd':
      return simulateStock(setup, true);
    case 'restore':
    case 'balance':
      return simulateEngine(setup, engine);
  }
}
