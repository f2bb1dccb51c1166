import { type Recipe, noCommitLost } from '../recipe.ts';

export const twoVms: Recipe = {
  name: 'two-vms',
  title: 'Two VMs of one host at once',
  question:
    'When a host is emptied, its VMs share the links: is there still a gain, and does each VM get its share of the links?',
  scenarios: ['idle', 'rw'],
  mems: ['8'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd'],
  repeat: 2,
  conditions: { vms: 2, before: 15, after: 30 },
  tables: [
    {
      caption: 'Time: of both VMs from the first command to the last end, and of each',
      columns: ['total-both', 'total', 'downtime', 'client-gap', 'passes', 'converged'],
    },
    {
      caption: 'Links: what each VM moved, and its share while both moved',
      columns: ['vm-migration-link', 'vm-storage-link', 'migration-share', 'storage-share', 'pages-restored'],
    },
    {
      caption: 'Load and CPU',
      columns: ['tps-before', 'tps-during', 'tps-back', 'cpu-busy', 'commits-lost'],
    },
  ],
  claims: [
    {
      says: 'Two VMs are moved sooner by `balance` than by multifd with zstd.',
      measure: { kind: 'ratio', column: 'total-both', of: 'multifd-zstd', to: 'balance' },
      holdsIf: { atLeast: 1 },
    },
    {
      says: 'With `balance` neither VM is left a third of the migration link or less while both move.',
      measure: { kind: 'each-run', column: 'migration-share', engine: 'balance' },
      holdsIf: { atLeast: 1 / 3 },
    },
    noCommitLost,
  ],
  figures: [],
};
