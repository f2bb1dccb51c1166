import { type Recipe, faster, noCommitLost } from '../recipe.ts';

export const rivals: Recipe = {
  name: 'rivals',
  title: 'What people would pick instead',
  question:
    'How do settings of QEMU that platforms use, shrinking the pool first, and moving the database instead of the VM compare with pre-copy, multifd with zstd and `balance`?',
  scenarios: ['rw'],
  mems: ['16'],
  engines: [
    'precopy',
    'balance',
    'multifd-zstd',
    'multifd',
    'precopy-stepped',
    'multifd-zstd-stepped',
    'postcopy-preempt',
    'free-page-hint',
    'shrink',
    'restart',
    'handover',
    'replica',
  ],
  repeat: 1,
  conditions: { before: 15, after: 30, maxTime: 1800 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: [
        'total',
        'downtime',
        'client-gap',
        'sql-gap',
        'downtime-limit',
        'passes',
        'migration-link',
        'storage-link',
        'blocked',
      ],
    },
    {
      caption: 'Moving the database: from the command, and what its clients lose',
      columns: [
        'source-closed',
        'vm-stopped',
        'server-answers',
        'pool-loaded',
        'both-servers',
        'service-link',
        'load-errors',
        'load-reconnects',
        'commits-unknown',
      ],
    },
    {
      caption: 'Load',
      columns: [
        'pool-shrunk',
        'tps-before',
        'tps-during',
        'tps-after',
        'tps-back',
        'commits',
        'commits-lost',
      ],
    },
  ],
  claims: [
    {
      says: 'multifd without compression is no faster than pre-copy: the link is full with one connection.',
      measure: { kind: 'ratio', column: 'total', of: 'precopy', to: 'multifd' },
      holdsIf: { atMost: 1.1 },
    },
    {
      says: 'Free page hints gain nothing: QEMU 10.0 takes none before its second pass.',
      measure: { kind: 'ratio', column: 'total', of: 'precopy', to: 'free-page-hint' },
      holdsIf: { atMost: 1.1 },
    },
    faster(
      'Shrinking the pool first saves more time than it costs, until the VM has moved.',
      'shrink',
      'precopy',
    ),
    {
      says: 'A VM on standby halves the time without an answer that a restart has.',
      measure: { kind: 'ratio', column: 'sql-gap', of: 'restart', to: 'handover' },
      holdsIf: { atLeast: 2 },
    },
    noCommitLost,
  ],
  figures: ['extra-06-engines'],
};
