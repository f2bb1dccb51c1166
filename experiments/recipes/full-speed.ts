import { type Recipe, noCommitLost } from '../recipe.ts';

export const fullSpeed: Recipe = {
  name: 'full-speed',
  title: 'Where no CPU is free',
  question:
    'What is left of the gain when the guest’s load takes all the CPU time that the migration would need?',
  scenarios: ['ro'],
  mems: ['16'],
  engines: ['balance', 'multifd-zstd'],
  repeat: 3,
  conditions: { rate: 0, before: 20, after: 40 },
  tables: [
    {
      caption: 'Time, CPU time and links',
      columns: [
        'total',
        'downtime',
        'client-gap',
        'busiest-link',
        'cpu-busy',
        'engine-cpu-src',
        'engine-cpu-dst',
        'qemu-cpu-src',
        'qemu-cpu-dst',
      ],
    },
    { caption: 'Load', columns: ['tps-before', 'tps-during', 'tps-after', 'tps-back', 'p95-during'] },
  ],
  claims: [
    {
      says: 'Where no CPU is free, multifd with zstd is faster than `balance`.',
      measure: { kind: 'ratio', column: 'total', of: 'balance', to: 'multifd-zstd' },
      holdsIf: { atLeast: 1 },
    },
    noCommitLost,
  ],
  predicted: true,
  figures: ['figure-16-tps-ro'],
};
