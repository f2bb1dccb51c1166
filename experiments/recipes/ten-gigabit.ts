import { type Recipe, noCommitLost } from '../recipe.ts';

export const tenGigabit: Recipe = {
  name: 'ten-gigabit',
  title: 'Links of 10 Gbit/s',
  question: 'What is left of the gain when links are fast, and processors bound the migration instead?',
  scenarios: ['idle', 'rw'],
  mems: ['16'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd'],
  repeat: 3,
  conditions: { linkRate: '10gbit', before: 10, after: 10 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: [
        'converged',
        'total',
        'downtime',
        'passes',
        'migration-link',
        'storage-link',
        'busiest-link',
        'efficiency',
      ],
    },
    { caption: 'Load and CPU', columns: ['tps-before', 'tps-during', 'cpu-busy', 'all-cpu', 'commits-lost'] },
  ],
  claims: [
    {
      says: '`balance` is faster than pre-copy.',
      measure: { kind: 'ratio', column: 'total', of: 'precopy', to: 'balance' },
      holdsIf: { atLeast: 1 },
    },
    {
      says: '`restore` is faster than pre-copy.',
      measure: { kind: 'ratio', column: 'total', of: 'precopy', to: 'restore' },
      holdsIf: { atLeast: 1 },
    },
    noCommitLost,
  ],
  predicted: true,
  figures: ['figure-08-total-time'],
};
