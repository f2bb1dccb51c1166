import test from 'ava';
import { largestPoolBytes, optionsSchema, resolveConfiguration } from './configuration.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;

test('the lab divides the paper by eight', (t) => {
  const configuration = resolveConfiguration(optionsSchema.parse({ mem: '16' }));
  t.is(configuration.vmMemoryBytes, 2 * gib);
  t.is(configuration.linkBitsPerSecond, 125_000_000);
  t.is(configuration.bufferPoolAskedBytes, Math.round(1.6 * gib));
  t.is(configuration.poolInUseAskedBytes, Math.round((11.3 / 8) * gib));
  t.true(configuration.bufferPoolBytes <= configuration.bufferPoolAskedBytes);
  t.true(configuration.tableDataBytes <= configuration.poolInUseAskedBytes);
});

test('the paper profile is the paper', (t) => {
  const configuration = resolveConfiguration(optionsSchema.parse({ mem: '24', profile: 'paper' }));
  t.is(configuration.vmMemoryBytes, 24 * gib);
  t.is(configuration.linkBitsPerSecond, 1_000_000_000);
  t.is(configuration.beforeSeconds, 300);
  t.is(configuration.afterSeconds, 600);
});

test('small guests get a pool that does not thrash', (t) => {
  t.true(Math.abs(largestPoolBytes(512 * mib) - 333 * mib) <= 8 * mib);
  t.true(Math.abs(largestPoolBytes(1024 * mib) - 768 * mib) <= 8 * mib);
  t.true(Math.abs(largestPoolBytes(2048 * mib) - 0.8 * 2048 * mib) <= 8 * mib);
});

test('options override the profile, numbers are read from text', (t) => {
  const options = optionsSchema.parse({
    threads: '4',
    rate: '0',
    linkRate: '2.5gbit',
    scale: '4',
    before: '1.5',
  });
  const configuration = resolveConfiguration(options);
  t.is(configuration.threads, 4);
  t.is(configuration.rateTps, 0);
  t.is(configuration.linkBitsPerSecond, 2_500_000_000);
  t.is(configuration.beforeSeconds, 1.5);
});

for (const bad of [
  { scenario: 'write' },
  { mem: '12' },
  { threads: '0' },
  { threads: 'four' },
  { linkRate: '125' },
  { linkRate: '1kbit' },
  { seed: '1.5' },
  { scale: '-1' },
]) {
  test(`refuses ${JSON.stringify(bad)}`, (t) => {
    t.false(optionsSchema.safeParse(bad).success);
  });
}
