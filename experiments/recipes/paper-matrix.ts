import { type Recipe, faster, noCommitLost } from '../recipe.ts';

export const paperMatrix: Recipe = {
  name: 'paper-matrix',
  title: 'The paper’s matrix',
  question:
    'Do the paper’s findings hold with stock software: how do pre-copy and pages from storage compare in each load and memory row?',
  scenarios: ['idle', 'ro', 'rw'],
  mems: ['4', '8', '16', '24'],
  engines: ['precopy', 'restore'],
  repeat: 3,
  conditions: { before: 20, after: 30 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: ['total', 'downtime', 'client-gap', 'migration-link', 'storage-link', 'busiest-link'],
    },
    { caption: 'Load and list', columns: ['tps-before', 'tps-during', 'list', 'commits-lost'] },
  ],
  claims: [
    faster('Taking cached pages from storage is faster than pre-copy.', 'restore', 'precopy'),
    noCommitLost,
  ],
  paperClaims: 'fresh guests, equal links',
  predicted: true,
  figures: ['figure-08-total-time', 'figure-11-nic-throughput-rw', 'figure-17-tps-rw'],
};
