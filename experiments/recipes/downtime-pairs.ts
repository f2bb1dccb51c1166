import { type Recipe, noCommitLost } from '../recipe.ts';

export const downtimePairs: Recipe = {
  name: 'downtime-pairs',
  title: 'Downtime of `restore` against pre-copy, in pairs',
  question: 'Does holding the switchover back until storage has given every page lengthen the downtime?',
  scenarios: ['rw'],
  mems: ['4'],
  engines: ['precopy', 'restore'],
  repeat: 5,
  conditions: { before: 10, after: 20 },
  tables: [
    {
      caption: 'Time',
      columns: ['downtime', 'client-gap', 'total', 'tps-before', 'tps-during', 'commits-lost'],
    },
  ],
  claims: [
    {
      says: 'Downtime with `restore` is no longer than with pre-copy.',
      measure: { kind: 'difference', column: 'downtime', of: 'restore', from: 'precopy' },
      holdsIf: { atMost: 0 },
    },
    noCommitLost,
  ],
  figures: [],
};
