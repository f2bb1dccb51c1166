import path from 'node:path';
import test from 'ava';
import { optionsSchema, resolveConfiguration } from '../../experiments/configuration.ts';
import { readRecordedRuns } from '../../record/sets/recorded-sets.ts';
import {
  checkCapacity,
  checkCombination,
  diskNeeds,
  expectedSteps,
  memoryNeeds,
  watchedSeconds,
} from './plan.ts';

const gib = 2 ** 30;
const machine = { memoryAvailableBytes: 22 * gib, diskAvailableBytes: 80 * gib };
const configure = (options: object) => resolveConfiguration(optionsSchema.parse(options));

test('lab rows fit a 24 GiB machine', (t) => {
  for (const mem of ['4', '8', '16', '24'])
    t.deepEqual(checkCapacity(configure({ mem }), machine), { fits: true });
});

test('a row that does not fit is refused with the sum and the nearest that fits', (t) => {
  const fit = checkCapacity(configure({ mem: '24', profile: 'paper' }), machine);
  t.false(fit.fits);
  const reason = fit.fits ? '' : fit.reason;
  t.regex(reason, /24\.0 GiB source VM \+ 24\.0 GiB target VM/);
  t.regex(reason, /22\.0 GiB are free/);
  t.regex(reason, /nearest that fits: --scale 3/);
});

test('the disk is counted too', (t) => {
  const fit = checkCapacity(configure({ mem: '24' }), { ...machine, diskAvailableBytes: 2 * gib });
  t.regex(fit.fits ? '' : fit.reason, /not enough disk/);
});

test('both VMs are counted in full', (t) => {
  const configuration = configure({ mem: '16' });
  const sum = memoryNeeds(configuration).reduce((bytes, need) => bytes + need.bytes, 0);
  t.true(sum > 2 * configuration.vmMemoryBytes);
});

test('a migration is never expected to outlast its limit', (t) => {
  const steps = expectedSteps(configure({ mem: '24', linkRate: '1mbit', maxTime: '100' }), 'tcg');
  t.is(steps.find((step) => step.name === 'migrate')?.durationSeconds, 100);
});

test('a warmed guest is not booted, and is kept on the disk', (t) => {
  const names = (options: object) => expectedSteps(configure(options), 'tcg').map(({ name }) => name);
  t.true(names({}).includes('boot the source VM'));
  t.false(names({ warmStart: true }).includes('boot the source VM'));
  t.true(names({ warmStart: true }).includes('start the warmed source VM'));
  const bytes = (options: object) => diskNeeds(configure(options)).reduce((sum, need) => sum + need.bytes, 0);
  const { vmMemoryBytes } = configure({});
  t.true(bytes({ warmStart: true }) > bytes({}) + vmMemoryBytes);
});

test('an aged guest takes a step more, and is sent whole', (t) => {
  const steps = (guest: string) =>
    new Map(
      expectedSteps(configure({ guest }), 'tcg').map(({ name, durationSeconds }) => [name, durationSeconds]),
    );
  const [fresh, aged] = [steps('fresh'), steps('aged')];
  t.false(fresh.has('age the guest'));
  t.true((aged.get('age the guest') ?? 0) > 0);
  t.true((aged.get('migrate') ?? 0) > (fresh.get('migrate') ?? 0));
});

test('a VM without load is watched for some seconds only', (t) => {
  t.deepEqual(watchedSeconds(configure({ scenario: 'idle' })), { before: 5, after: 5 });
  t.deepEqual(watchedSeconds(configure({ scenario: 'idle', before: 3, after: 0 })), { before: 3, after: 0 });
  t.deepEqual(watchedSeconds(configure({ scenario: 'rw' })), { before: 30, after: 60 });
});

test('each method is expected to take what the links that it uses need', (t) => {
  const seconds = (engine: string, rates: object) =>
    expectedSteps(configure({ mem: '16', engine, ...rates }), 'tcg').find(({ name }) => name === 'migrate')
      ?.durationSeconds ?? 0;
  const alike = { linkRate: '125mbit' };
  const order = ['balance', 'multifd-zstd', 'restore', 'precopy'].map((engine) => seconds(engine, alike));
  t.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  );
  const slowStorage = { ...alike, storageRate: '12.5mbit' };
  t.is(seconds('precopy', slowStorage), seconds('precopy', alike));
  t.is(seconds('restore', { ...slowStorage, maxTime: '3600' }), 10 * seconds('restore', alike));
  t.true(seconds('balance', slowStorage) > seconds('balance', alike));
});

test('the RAM of a VM that was restarted is not compared', (t) => {
  const refused = checkCombination(configure({ engine: 'restart', verifyRam: true }));
  t.regex(refused.fits ? '' : refused.reason, /--verify-ram does not go with --engine restart/);
  t.true(checkCombination(configure({ engine: 'restart' })).fits);
  t.true(checkCombination(configure({ engine: 'restore', verifyRam: true })).fits);
});

test('a pool is shrunk of MariaDB only, and of a VM that runs on', (t) => {
  t.true(checkCombination(configure({ engine: 'shrink' })).fits);
  const compared = checkCombination(configure({ engine: 'shrink', verifyRam: true }));
  t.regex(compared.fits ? '' : compared.reason, /--verify-ram does not go with --engine shrink/);
  const mysql = checkCombination(configure({ engine: 'shrink', dbms: 'mysql' }));
  t.regex(
    mysql.fits ? '' : mysql.reason,
    /--engine shrink does not go with --dbms mysql.*valid: --dbms mariadb/,
  );
});

test('a replica is of MariaDB only', (t) => {
  t.true(checkCombination(configure({ engine: 'replica' })).fits);
  const mysql = checkCombination(configure({ engine: 'replica', dbms: 'mysql' }));
  t.regex(
    mysql.fits ? '' : mysql.reason,
    /--engine replica does not go with --dbms mysql.*valid: --dbms mariadb/,
  );
});

test('PostgreSQL is moved by methods that move a VM as it is, under loads of its own language', (t) => {
  for (const engine of ['precopy', 'multifd-zstd', 'restore', 'balance'])
    t.true(checkCombination(configure({ engine, dbms: 'postgresql' })).fits, engine);
  for (const engine of ['shrink', 'restart', 'handover', 'replica']) {
    const fit = checkCombination(configure({ engine, dbms: 'postgresql' }));
    t.regex(fit.fits ? '' : fit.reason, /--dbms postgresql.*valid: --dbms mariadb/, engine);
  }
  const tpcc = checkCombination(configure({ scenario: 'tpcc', dbms: 'postgresql' }));
  t.regex(tpcc.fits ? '' : tpcc.reason, /--scenario tpcc does not go with --dbms postgresql/);
});

test('two VMs take the memory twice, share the links, and are moved by methods that move a VM as it is', (t) => {
  const bytes = (options: object) =>
    memoryNeeds(configure(options)).reduce((sum, need) => sum + need.bytes, 0);
  t.true(bytes({ mem: '8', vms: '2' }) >= bytes({ mem: '8' }) + 2 * configure({ mem: '8' }).vmMemoryBytes);
  const seconds = (options: object) =>
    expectedSteps(configure({ mem: '8', ...options }), 'tcg').find(({ name }) => name === 'migrate')
      ?.durationSeconds ?? 0;
  t.is(Math.round(seconds({ vms: '2', engine: 'balance' })), Math.round(2 * seconds({ engine: 'balance' })));
  for (const engine of ['precopy', 'multifd-zstd', 'postcopy', 'restore', 'balance'])
    t.true(checkCombination(configure({ engine, vms: '2' })).fits, engine);
  for (const engine of ['restart', 'handover', 'replica', 'shrink']) {
    const refused = checkCombination(configure({ engine, vms: '2' }));
    t.regex(
      refused.fits ? '' : refused.reason,
      new RegExp(`--vms 2 does not go with --engine ${engine}, .*; valid: precopy, restore, balance`),
    );
  }
});

test('an inventory goes with its testbed only', (t) => {
  const without = checkCombination(configure({ testbed: 'inventory' }));
  t.regex(without.fits ? '' : without.reason, /needs --inventory/);
  const stray = checkCombination(configure({ inventory: 'hosts.yaml' }));
  t.regex(stray.fits ? '' : stray.reason, /does not go with --testbed local/);
  t.true(checkCombination(configure({ testbed: 'inventory', inventory: 'hosts.yaml' })).fits);
});

test('what a migration is expected to take is what recorded ones took, within a quarter, with each method', async (t) => {
  const set = path.join(import.meta.dirname, '../../results/reference-2026-11-26-engines');
  const runs = (await readRecordedRuns(set)).filter(({ row }) => row?.total_time_ms !== undefined);
  t.true(runs.length > 20);
  for (const { manifest, row } of runs) {
    const { engine, paperRowGib } = manifest.configuration;
    const steps = expectedSteps(configure({ mem: String(paperRowGib), engine }), 'tcg');
    const expected = steps.find(({ name }) => name === 'migrate')?.durationSeconds ?? 0;
    const ratio = expected / (Number(row?.total_time_ms) / 1000);
    t.true(ratio > 0.75 && ratio < 1.25, `${manifest.runId}: ${ratio}`);
  }
});
