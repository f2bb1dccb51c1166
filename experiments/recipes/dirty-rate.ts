import { type Recipe, faster, noCommitLost } from '../recipe.ts';

/**
 * The guest of the other experiments at its usual load dirties about 1.1 MB/s of different pages in this row over a pass of most of a
 * minute; QEMU, which counts over shorter passes, counts those again that are written all the time.
 *
 * @param share of the migration link that these would take
 */
const part = (share: string, mbits: number, repeat = 1) => ({
  name: share.replace('.', ''),
  title: `${mbits} Mbit/s`,
  repeat,
  conditions: { migrationRate: `${mbits}mbit` },
});

export const dirtyRate: Recipe = {
  name: 'dirty-rate',
  title: 'The gain over the dirty rate',
  question:
    'How does the gain over pre-copy grow with the share of the migration link that the guest’s writes would fill, and where does it reach the paper’s 2.3 times?',
  scenarios: ['rw'],
  mems: ['4'],
  engines: ['precopy', 'restore', 'balance', 'resume'],
  repeat: 1,
  // A slower link in place of a faster guest, which an emulated one cannot be.
  conditions: { maxTime: 400, before: 15, after: 10 },
  parts: [
    // Pre-copy needs several passes, and comes to an end.
    part('0.1', 88, 3),
    part('0.15', 58),
    part('0.3', 29),
    part('0.6', 14.6),
    part('0.9', 9.8),
  ],
  tables: [
    {
      caption: 'Time and bytes',
      columns: [
        'migration-rate',
        'dirty-rate',
        'dirty-share',
        'converged',
        'total',
        'passes',
        'downtime',
        'migration-link',
        'storage-link',
      ],
    },
    { caption: 'Load and list', columns: ['tps-before', 'tps-during', 'list', 'commits-lost'] },
  ],
  claims: [
    faster(
      '`restore` is at least 1.3 times as fast as pre-copy at each dirty rate.',
      'restore',
      'precopy',
      1.3,
    ),
    faster('`balance` is faster than `restore` at each dirty rate.', 'balance', 'restore'),
    noCommitLost,
  ],
  paperClaims: 'migration link of',
  predicted: true,
  figures: ['extra-09-gain-over-dirty-rate'],
};
