import { type Recipe, faster, noCommitLost } from '../recipe.ts';

export const everyMethod: Recipe = {
  name: 'every-method',
  title: 'Every way to migrate',
  question: 'Which of QEMU’s own methods is worth comparing with?',
  scenarios: ['rw'],
  mems: ['16'],
  engines: ['precopy', 'restore', 'balance', 'multifd-zstd', 'postcopy', 'xbzrle', 'auto-converge'],
  repeat: 1,
  conditions: { before: 15, after: 15 },
  tables: [
    {
      caption: 'Time and bytes',
      columns: ['total', 'downtime', 'client-gap', 'passes', 'migration-link', 'storage-link', 'blocked'],
    },
    { caption: 'Load', columns: ['tps-before', 'tps-during', 'commits-lost'] },
  ],
  claims: [
    ...(['postcopy', 'xbzrle', 'auto-converge'] as const).map((engine) => ({
      says: `\`${engine}\` takes about as long as pre-copy.`,
      measure: { kind: 'ratio' as const, column: 'total', of: 'precopy' as const, to: engine },
      holdsIf: { atMost: 1.1 },
    })),
    faster('multifd with zstd is more than twice as fast as pre-copy.', 'multifd-zstd', 'precopy', 2),
    noCommitLost,
  ],
  figures: ['extra-06-engines'],
};
