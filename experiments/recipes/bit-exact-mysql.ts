import { type Recipe, noCommitLost } from '../recipe.ts';

export const bitExactMysql: Recipe = {
  name: 'bit-exact-mysql',
  title: 'Guest memory is exact: MySQL',
  question: 'Does the target hold every byte that the source held, when pages came from storage?',
  scenarios: ['idle', 'ro', 'rw'],
  mems: ['4'],
  engines: ['restore', 'balance'],
  repeat: 1,
  conditions: { dbms: 'mysql', before: 5, after: 5, verifyRam: true },
  tables: [
    {
      caption: 'Pages of 4 KiB',
      columns: [
        'pages-compared',
        'pages-differing',
        'pages-listed',
        'pages-restored',
        'pages-mismatched',
        'commits-lost',
      ],
    },
  ],
  claims: [
    {
      says: 'No page differs.',
      measure: { kind: 'each-run', column: 'pages-differing' },
      holdsIf: { is: 0 },
    },
    {
      says: 'Pages came from storage.',
      measure: { kind: 'each-run', column: 'pages-restored' },
      holdsIf: { atLeast: 1 },
    },
    noCommitLost,
  ],
  figures: [],
};
