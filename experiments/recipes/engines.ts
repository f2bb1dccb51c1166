import { type Recipe, faster, noCommitLost } from '../recipe.ts';

export const enginesRecipe: Recipe = {
  name: 'engines',
  title: 'Both links at once, against the best of stock QEMU',
  question:
    'How much faster is `balance` than stock pre-copy, and than multifd with zstd, the best that stock QEMU offers, and what does it cost in CPU time, downtime and latency?',
  scenarios: ['rw', 'idle', 'ro'],
  mems: ['16'],
  engines: ['precopy', 'balance', 'multifd-zstd'],
  repeat: 3,
  conditions: { before: 15, after: 15 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: ['total', 'downtime', 'client-gap', 'passes', 'migration-link', 'storage-link', 'compression'],
    },
    {
      caption: 'CPU time and links',
      columns: [
        'busiest-link',
        'efficiency',
        'engine-cpu-src',
        'engine-cpu-dst',
        'qemu-cpu-src',
        'qemu-cpu-dst',
        'all-cpu',
        'engine-memory-src',
        'engine-memory-dst',
      ],
    },
    {
      caption: 'What the database’s clients see',
      columns: [
        'tps-before',
        'tps-during',
        'tps-after',
        'tps-back',
        'p95-before',
        'p95-during',
        'p95-worst',
        'slow-seconds',
        'list',
        'commits-lost',
      ],
    },
  ],
  claims: [
    {
      ...faster(
        '`balance` is at least 2.8 times as fast as pre-copy where the guest writes nothing.',
        'balance',
        'precopy',
        2.8,
      ),
      scenarios: ['idle', 'ro'],
    },
    {
      ...faster(
        '`balance` is at least 2.5 times as fast as pre-copy where it writes.',
        'balance',
        'precopy',
        2.5,
      ),
      scenarios: ['rw'],
    },
    faster('`balance` is at least 1.2 times as fast as multifd with zstd.', 'balance', 'multifd-zstd', 1.2),
    {
      says: '`balance` has no more downtime than pre-copy.',
      measure: { kind: 'difference', column: 'downtime', of: 'balance', from: 'precopy' },
      holdsIf: { atMost: 0 },
    },
    {
      says: '`balance` takes at most 1.6 times the CPU time of multifd with zstd.',
      measure: { kind: 'ratio', column: 'all-cpu', of: 'balance', to: 'multifd-zstd' },
      holdsIf: { atMost: 1.6 },
    },
    {
      says: '`balance` takes less CPU time than pre-copy.',
      measure: { kind: 'ratio', column: 'all-cpu', of: 'balance', to: 'precopy' },
      holdsIf: { atMost: 1 },
    },
    {
      says: '`balance` reaches 85 % of what both links allow.',
      measure: { kind: 'each-run', column: 'efficiency', engine: 'balance' },
      holdsIf: { atLeast: 0.85 },
    },
    noCommitLost,
  ],
  predicted: true,
  figures: ['figure-08-total-time', 'figure-11-nic-throughput-rw', 'extra-02-latency'],
};
