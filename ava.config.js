import os from 'node:os';

// `npm test` names the kind of its files; `npx ava FILE` runs any file, one after another.
const kind = process.env.POOLSHIFT_TESTS;

export default {
  files: {
    unit: ['**/*.test.ts', '!**/*.lab.test.ts'],
    lab: ['**/*.lab.test.ts'],
  }[kind] ?? ['**/*.test.ts'],
  extensions: ['ts'],
  require: ['./scripts/test-progress.ts'],
  workerThreads: false,
  // `npm test` has a time limit of its own, which names what hangs.
  timeout: kind === undefined ? '10m' : '6h',
  // One after another, since they bring the same lab up.
  concurrency: kind === 'unit' ? os.availableParallelism() + 1 : 1,
};
