import { type Recipe, faster, noCommitLost } from '../recipe.ts';

export const agedGuests: Recipe = {
  name: 'aged-guests',
  title: 'Guests that have run for weeks',
  question:
    'What do methods gain when no page of the guest is zero and its page cache is full, with a server that reads through it, as the paper’s did?',
  scenarios: ['idle', 'rw'],
  mems: ['4', '8', '16', '24'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd'],
  repeat: 1,
  conditions: { guest: 'aged', before: 15, after: 15 },
  // The row that decides comes first, and in repeats.
  parts: [
    { mems: ['16'], repeat: 3 },
    { mems: ['4', '8', '24'], repeat: 1 },
  ],
  tables: [
    {
      caption: 'What memory held before the load',
      columns: ['memory-zero', 'memory-pool', 'memory-page-cache', 'memory-other', 'pages-listed'],
    },
    {
      caption: 'Time and bytes',
      columns: [
        'total',
        'downtime',
        'passes',
        'migration-link',
        'storage-link',
        'busiest-link',
        'efficiency',
        'compression',
      ],
    },
    { caption: 'Load and list', columns: ['tps-before', 'tps-during', 'list', 'commits-lost'] },
  ],
  claims: [
    faster(
      '`restore` is at least 1.3 times as fast as pre-copy, as in the paper.',
      'restore',
      'precopy',
      1.3,
    ),
    faster('`balance` is at least 2.8 times as fast as pre-copy.', 'balance', 'precopy', 2.8),
    faster('`balance` is faster than multifd with zstd.', 'balance', 'multifd-zstd'),
    noCommitLost,
  ],
  paperClaims: 'aged guests, equal links',
  predicted: true,
  figures: ['extra-08-memory-held', 'figure-08-total-time'],
};
