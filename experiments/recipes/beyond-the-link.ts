import { type Recipe, type RecipeTable, noCommitLost } from '../recipe.ts';

export const timeColumns = [
  'converged',
  'total',
  'passes',
  'downtime',
  'downtime-limit',
  'client-gap',
  'migration-link',
  'storage-link',
  'compression',
] as const;

export const loadTable: RecipeTable = {
  caption: 'Load',
  columns: ['tps-before', 'tps-during', 'commits', 'commits-lost'],
};

export const balanceConverges: Recipe['claims'][number] = {
  says: '`balance` converges.',
  measure: { kind: 'each-run', column: 'converged', engine: 'balance' },
  holdsIf: { is: 1 },
};

export const beyondTheLink: Recipe = {
  name: 'beyond-the-link',
  title: 'A load beyond the link',
  question: 'Does a migration end when the guest dirties memory faster than the link can carry it?',
  scenarios: ['rw'],
  mems: ['4'],
  engines: ['precopy', 'balance'],
  repeat: 1,
  conditions: { rate: 0, threads: 4, linkRate: '24mbit', maxTime: 480, before: 5, after: 5 },
  tables: [{ caption: 'Time and bytes', columns: timeColumns }, loadTable],
  claims: [
    {
      says: 'Stock pre-copy does not converge.',
      measure: { kind: 'each-run', column: 'converged', engine: 'precopy' },
      holdsIf: { is: 0 },
    },
    balanceConverges,
    noCommitLost,
  ],
  figures: ['figure-14-remaining-memory-rw'],
};
