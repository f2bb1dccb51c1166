import { type Recipe, noCommitLost } from '../recipe.ts';

export const earlyResume: Recipe = {
  name: 'early-resume',
  title: 'The VM moves before its cached pages',
  question:
    'How soon does the VM run at the destination if its cached pages may follow, and what does that cost its database?',
  scenarios: ['rw', 'ro', 'idle'],
  mems: ['16'],
  engines: ['postcopy', 'balance', 'resume', 'multifd-zstd'],
  repeat: 3,
  conditions: { before: 15, after: 20 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: [
        'moved',
        'source-needed',
        'total',
        'downtime',
        'client-gap',
        'migration-link',
        'storage-link',
        'all-cpu',
      ],
    },
    {
      caption: 'Load, and pages that the VM waited for',
      columns: ['tps-before', 'tps-during', 'faults', 'fault-p50', 'fault-p99', 'commits-lost'],
    },
  ],
  claims: [
    {
      says: 'With `resume` the VM runs at the destination within 12 s.',
      measure: { kind: 'each-run', column: 'moved', engine: 'resume' },
      holdsIf: { atMost: 12_000 },
    },
    {
      says: 'With `resume` it runs there in less than half the time of `balance`.',
      measure: { kind: 'ratio', column: 'moved', of: 'balance', to: 'resume' },
      holdsIf: { atLeast: 2 },
    },
    {
      says: '`resume` takes no longer from STOP to RESUME than `balance`.',
      measure: { kind: 'difference', column: 'downtime', of: 'resume', from: 'balance' },
      holdsIf: { atMost: 0 },
    },
    {
      says: '99 of 100 pages that the VM waits for arrive within 20 ms.',
      measure: { kind: 'each-run', column: 'fault-p99', engine: 'resume' },
      holdsIf: { atMost: 20 },
      scenarios: ['ro', 'rw'],
    },
    noCommitLost,
  ],
  figures: ['figure-17-tps-rw', 'extra-02-latency'],
};
