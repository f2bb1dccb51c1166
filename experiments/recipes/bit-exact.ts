import { type Recipe, noCommitLost, noPageDiffers, pagesFromStorage } from '../recipe.ts';

export const bitExact: Recipe = {
  name: 'bit-exact',
  title: 'Guest memory is exact: MariaDB',
  question: 'Does the target hold every byte that the source held, when pages came from storage?',
  scenarios: ['idle', 'ro', 'rw'],
  mems: ['4'],
  engines: ['restore', 'balance'],
  repeat: 1,
  conditions: { before: 5, after: 5, verifyRam: true },
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
  claims: [noPageDiffers, pagesFromStorage, noCommitLost],
  figures: [],
};
