import { type Recipe, faster, noCommitLost } from '../recipe.ts';

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
    faster(
      '`balance` is at least as fast as multifd with zstd where no CPU is free.',
      'balance',
      'multifd-zstd',
    ),
    {
      says: 'With `balance` the database’s throughput is back no later.',
      measure: { kind: 'difference', column: 'tps-back', of: 'balance', from: 'multifd-zstd' },
      holdsIf: { atMost: 0 },
    },
    noCommitLost,
  ],
  predicted: true,
  figures: ['figure-16-tps-ro'],
};
