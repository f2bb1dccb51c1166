import { type Recipe, faster, linkTables, noCommitLost } from '../recipe.ts';

export const storageAtATenth: Recipe = {
  name: 'storage-at-a-tenth',
  title: 'Storage at a tenth of the migration link',
  question: 'Which method is left when shared storage is much slower than the migration link?',
  scenarios: ['rw'],
  mems: ['4'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd'],
  repeat: 3,
  conditions: { storageRate: '12.5mbit', maxTime: 900, before: 10, after: 10 },
  tables: linkTables,
  claims: [
    faster(
      '`restore`, which takes all cached pages from storage, is slower than pre-copy.',
      'precopy',
      'restore',
    ),
    faster(
      '`balance`, which takes what storage can give meanwhile, is faster than pre-copy.',
      'balance',
      'precopy',
      1.3,
    ),
    noCommitLost,
  ],
  paperClaims: 'storage at a tenth of the migration link',
  predicted: true,
  figures: ['figure-11-nic-throughput-rw'],
};
