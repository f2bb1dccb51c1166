import { type Recipe, noCommitLost, noPageDiffers } from '../recipe.ts';

export const smoke: Recipe = {
  name: 'smoke',
  title: 'A small VM, byte for byte',
  question: 'Does everything work on this machine? A VM of 256 MiB, which says nothing about speed.',
  scenarios: ['rw'],
  mems: ['4'],
  engines: ['precopy', 'restore'],
  repeat: 1,
  conditions: { before: 5, after: 5, verifyRam: true, vmMemory: 256, tableData: 16 },
  tables: [
    {
      caption: 'Pages of 4 KiB',
      columns: ['pages-compared', 'pages-differing', 'pages-restored', 'commits', 'commits-lost'],
    },
  ],
  claims: [
    noPageDiffers,
    {
      says: 'Pages came from storage.',
      measure: { kind: 'each-run', column: 'pages-restored', engine: 'restore' },
      holdsIf: { atLeast: 1 },
    },
    noCommitLost,
  ],
  figures: [],
};
