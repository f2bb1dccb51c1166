// Unit tests and lab tests have one runner; `npm test` runs both, `npm run test:unit` leaves the lab out.
const lab = process.env.POOLSHIFT_TESTS !== 'unit';

export default {
  files: lab ? ['**/*.test.ts'] : ['**/*.test.ts', '!**/*.lab.test.ts'],
  extensions: { ts: 'module' },
  workerThreads: false,
  timeout: '20m',
  // One lab fits a machine, so lab tests must not run beside each other.
  concurrency: 1,
};
