import { type Recipe, noCommitLost } from '../recipe.ts';

type Compress = 'auto' | 'none' | 'zstd';
const titles: Readonly<Record<Compress, string>> = {
  auto: 'as the engine decides',
  none: 'never',
  zstd: 'always',
};

const part = (compress: Compress) => ({
  name: compress,
  title: `compressed ${titles[compress]}`,
  conditions: { compress },
});

export const compressionChoice: Recipe = {
  name: 'compression-choice',
  title: 'Whether to compress',
  question:
    'Where no CPU is free, is what the engine decides about compression as good as never and as always?',
  scenarios: ['ro'],
  mems: ['4'],
  engines: ['balance'],
  repeat: 3,
  conditions: { rate: 0, before: 20, after: 30 },
  parts: [part('auto'), part('none'), part('zstd')],
  tables: [
    {
      caption: 'Time, CPU time and load',
      columns: [
        'total',
        'downtime',
        'compression',
        'migration-link',
        'engine-cpu-src',
        'engine-cpu-dst',
        'tps-before',
        'tps-during',
        'tps-back',
      ],
    },
  ],
  claims: [noCommitLost],
  figures: [],
};
