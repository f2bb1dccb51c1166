import { type Recipe, faster, linkTables, noCommitLost } from '../recipe.ts';

export const migrationAtATenth: Recipe = {
  name: 'migration-at-a-tenth',
  title: 'The migration link at a tenth of storage',
  question: 'What is gained when shared storage is much faster than the migration link?',
  scenarios: ['ro'],
  mems: ['4'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd'],
  repeat: 3,
  conditions: { migrationRate: '50mbit', storageRate: '500mbit', before: 10, after: 10 },
  tables: linkTables,
  claims: [
    faster('`restore` is at least 2 times as fast as pre-copy.', 'restore', 'precopy', 2),
    faster('`balance` is faster than multifd with zstd.', 'balance', 'multifd-zstd'),
    noCommitLost,
  ],
  paperClaims: 'the migration link at a tenth of storage',
  predicted: true,
  figures: ['figure-10-nic-throughput-ro'],
};
