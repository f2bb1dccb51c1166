import test from 'ava';
import type { DatabaseSystem } from '../foundation/database-systems.ts';
import { maxPoolBytes, linkRatesOf, optionsSchema, resolveConfiguration } from './configuration.ts';
import { linkRatesText } from './link-rates.ts';
import { mib } from '../foundation/quantity.ts';

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

test('a VM is booted for its run unless a warm start is asked for', (t) => {
  t.false('warmStart' in resolveConfiguration(optionsSchema.parse({})));
  t.true(resolveConfiguration(optionsSchema.parse({ warmStart: true })).warmStart);
});

test('a guest is fresh unless an aged one is asked for, and records of fresh ones do not say so', (t) => {
  t.false('guest' in resolveConfiguration(optionsSchema.parse({})));
  t.is(resolveConfiguration(optionsSchema.parse({ guest: 'aged' })).guest, 'aged');
});

test('the paper profile is the paper', (t) => {
  const configuration = resolveConfiguration(optionsSchema.parse({ mem: '24', profile: 'paper' }));
  t.is(configuration.vmMemoryBytes, 24 * gib);
  t.is(configuration.linkBitsPerSecond, 1_000_000_000);
  t.is(configuration.beforeSeconds, 300);
  t.is(configuration.afterSeconds, 600);
});

test('small guests get a pool that does not thrash', (t) => {
  const pool = (memoryMib: number, dbms: DatabaseSystem) => maxPoolBytes(memoryMib * mib, dbms) / mib;
  t.true(Math.abs(pool(512, 'mariadb') - 333) <= 8);
  t.true(Math.abs(pool(1024, 'mariadb') - 768) <= 8);
  t.true(Math.abs(pool(2048, 'mariadb') - 0.8 * 2048) <= 8);
  t.is(pool(512, 'mysql'), 256);
  // The file cache is PostgreSQL's second one.
  t.is(pool(1024, 'postgresql'), 704);
  t.is(pool(1024, 'mysql'), 704);
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

test('one rate is that of all links, and each link may have its own', (t) => {
  const rates = (options: object) => linkRatesOf(resolveConfiguration(optionsSchema.parse(options)));
  t.deepEqual(rates({ linkRate: '1gbit' }), { migration: 1e9, storage: 1e9, service: 1e9 });
  t.deepEqual(rates({ storageRate: '12.5mbit' }), { migration: 125e6, storage: 12.5e6, service: 125e6 });
  const apart = { migrationRate: '10mbit', storageRate: '20mbit', serviceRate: '30mbit' };
  t.deepEqual(rates(apart), { migration: 10e6, storage: 20e6, service: 30e6 });
  t.is(linkRatesText(rates({})), '125 Mbit/s');
  t.is(linkRatesText(rates(apart)), 'migration 10 Mbit/s, storage 20 Mbit/s, service 30 Mbit/s');
});

for (const bad of [
  { scenario: 'write' },
  { guest: 'old' },
  { mem: '12' },
  { threads: '0' },
  { threads: 'four' },
  { linkRate: '125' },
  { linkRate: '1kbit' },
  { storageRate: '125' },
  { seed: '1.5' },
  { scale: '-1' },
]) {
  test(`refuses ${JSON.stringify(bad)}`, (t) => {
    t.false(optionsSchema.safeParse(bad).success);
  });
}
