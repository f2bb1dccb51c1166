import { type Recipe, faster, noCommitLost } from '../recipe.ts';

export const restoreRepeats: Recipe = {
  name: 'restore-repeats',
  title: 'Pages from storage, in repeats',
  question: 'How near does `restore` come to what the storage link allows, and how much do repeats differ?',
  scenarios: ['rw', 'idle', 'ro'],
  mems: ['16'],
  engines: ['precopy', 'restore'],
  repeat: 3,
  conditions: { before: 10, after: 10 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: ['total', 'downtime', 'client-gap', 'migration-link', 'storage-link', 'both-links'],
    },
    {
      caption: 'Link, list and load',
      columns: ['busiest-link', 'list', 'tps-before', 'tps-during', 'tps-back', 'commits-lost'],
    },
  ],
  claims: [
    {
      says: '`restore` fills its busier link for 90 % of the time.',
      measure: { kind: 'each-run', column: 'busiest-link', engine: 'restore' },
      holdsIf: { atLeast: 0.9 },
    },
    faster('`restore` is faster than pre-copy.', 'restore', 'precopy'),
    {
      says: 'Downtime with `restore` is at most 50 ms longer than with pre-copy.',
      measure: { kind: 'difference', column: 'downtime', of: 'restore', from: 'precopy' },
      holdsIf: { atMost: 50 },
    },
    {
      says: 'Both links together carry little more than pre-copy’s.',
      measure: { kind: 'ratio', column: 'both-links', of: 'restore', to: 'precopy' },
      holdsIf: { atMost: 1.1 },
    },
    noCommitLost,
  ],
  figures: ['figure-07-downtime'],
};
