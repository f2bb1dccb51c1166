import { type Recipe, noCommitLost } from '../recipe.ts';

export const restart: Recipe = {
  name: 'restart',
  title: 'Without live migration',
  question:
    'What is lost if the server is stopped and started again at the destination, from the shared disk?',
  scenarios: ['rw', 'idle', 'ro'],
  mems: ['16'],
  engines: ['restart'],
  repeat: 1,
  conditions: { before: 15, after: 60 },
  tables: [
    {
      caption: 'Time, from the command',
      columns: [
        'vm-stopped',
        'vm-started',
        'server-answers',
        'total',
        'downtime',
        'sql-gap',
        'client-gap',
        'storage-link',
      ],
    },
    {
      caption: 'Load',
      columns: ['tps-before', 'tps-during', 'tps-after', 'tps-back', 'commits', 'commits-lost'],
    },
  ],
  claims: [
    {
      says: 'A restart interrupts service for more than ten seconds.',
      measure: { kind: 'each-run', column: 'downtime' },
      holdsIf: { atLeast: 10_000 },
    },
    noCommitLost,
  ],
  figures: [],
};
