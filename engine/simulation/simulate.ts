/** One migration in simulated time, by the name of its engine. */
import type { Setup, SimulatedMigration } from './migration.ts';
import { simulateEngine } from './simulate-engine.ts';
import { simulateStock } from './simulate-stock.ts';

export const simulatedEngines = ['precopy', 'multifd-zstd', 'restore', 'balance', 'resume'] as const;
export type SimulatedEngine = (typeof simulatedEngines)[number];

export function simulate(engine: SimulatedEngine, setup: Setup): SimulatedMigration {
  switch (engine) {
    case 'precopy':
      return simulateStock(setup, false);
    case 'multifd-zstd':
      return simulateStock(setup, true);
    case 'restore':
    case 'balance':
    case 'resume':
      return simulateEngine(setup, engine);
  }
}

/** Ways to move the VM that the testbed measures (experiments/engines.ts) and the simulation does not, and why. */
export const notSimulated: Readonly<Record<string, string>> = {
  postcopy:
    'every page crosses the link once, so its total time is near what one pass of precopy takes; how long the guest waits for pages, which is its price, is not in the model',
  xbzrle:
    'what it saves depends on which bytes of a page change between passes, and a page here has a version, no bytes; near precopy where most time is the first pass',
  'auto-converge':
    'it slows the guest’s CPU down, which the model does not have; as precopy where that converges without it',
  multifd: 'as precopy on one link: more connections make it no faster',
  'precopy-stepped': 'as precopy; the model has one downtime limit, which does not change',
  'multifd-zstd-stepped': 'as multifd-zstd; the model has one downtime limit, which does not change',
  'postcopy-preempt': 'as postcopy, of which it shortens what the guest waits for',
  'free-page-hint': 'as precopy without the guest’s free pages, which the model does not know',
  shrink:
    'as precopy of a VM without its pool; how long the server takes to shrink and fill it is not in the model',
  restart: 'no memory is moved: its time is the database’s, to shut down, to recover and to warm up',
  handover: 'as restart: its time is the database’s',
  replica: 'no memory is moved: its time is the database’s, to copy its files and to catch up',
};
