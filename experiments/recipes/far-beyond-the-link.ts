import { type Recipe, noCommitLost } from '../recipe.ts';
import { balanceConverges, loadTable, timeColumns } from './beyond-the-link.ts';

export const farBeyondTheLink: Recipe = {
  name: 'far-beyond-the-link',
  title: 'A load far beyond the link',
  question:
    'Does `balance` still converge where stock pre-copy would have to carry five times what the link does?',
  scenarios: ['rw'],
  mems: ['4'],
  engines: ['balance'],
  repeat: 1,
  conditions: { rate: 0, threads: 4, linkRate: '16mbit', maxTime: 250, before: 5, after: 5 },
  tables: [{ caption: 'Time and bytes', columns: [...timeColumns, 'busiest-link'] }, loadTable],
  claims: [balanceConverges, noCommitLost],
  figures: [],
};
