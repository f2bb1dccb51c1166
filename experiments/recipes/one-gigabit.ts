import { type Recipe, faster, linkTables, noCommitLost } from '../recipe.ts';

export const oneGigabit: Recipe = {
  name: 'one-gigabit',
  title: 'Links of 1 Gbit/s',
  question: 'What is left of the gain when links are fast, and CPU time bounds the migration instead?',
  scenarios: ['idle', 'rw'],
  mems: ['16'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd'],
  repeat: 3,
  conditions: { linkRate: '1gbit', before: 10, after: 10 },
  tables: linkTables,
  claims: [
    faster('`balance` is faster than pre-copy.', 'balance', 'precopy'),
    faster('`restore` is faster than pre-copy.', 'restore', 'precopy'),
    faster('`balance` is as fast as multifd with zstd.', 'balance', 'multifd-zstd'),
    noCommitLost,
  ],
  paperClaims: 'links of 1 Gbit/s',
  predicted: true,
  figures: ['figure-08-total-time'],
};
