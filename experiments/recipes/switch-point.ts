import type { EngineName } from '../engines.ts';
import { type Recipe, noCommitLost } from '../recipe.ts';

/** Post-copy has no such share: it is beside the first alone. */
const part = (beforeSwitch: number, engines: readonly EngineName[] = ['resume']) => ({
  name: String(beforeSwitch),
  title: `${beforeSwitch} % there before`,
  engines,
  conditions: { beforeSwitch },
});

export const switchPoint: Recipe = {
  name: 'switch-point',
  title: 'How much before the VM moves',
  question:
    'What share of the cached pages should be at the destination before the VM of a busy database moves?',
  scenarios: ['ro', 'rw'],
  mems: ['4'],
  engines: ['resume', 'postcopy'],
  repeat: 3,
  // At full speed, so that it can be seen when throughput is back.
  conditions: { rate: 0, before: 20, after: 30 },
  parts: [part(0, ['resume', 'postcopy']), part(30), part(60), part(90)],
  tables: [
    {
      caption: 'Time, and pages that the VM waited for',
      columns: [
        'moved',
        'source-needed',
        'total',
        'downtime',
        'client-gap',
        'faults',
        'fault-p50',
        'fault-p99',
      ],
    },
    { caption: 'Load', columns: ['tps-before', 'tps-during', 'tps-back', 'commits-lost'] },
  ],
  claims: [
    {
      says: 'With `resume` throughput is back sooner than with stock post-copy.',
      measure: { kind: 'difference', column: 'tps-back', of: 'resume', from: 'postcopy' },
      holdsIf: { atMost: 0 },
    },
    noCommitLost,
  ],
  figures: [],
};
