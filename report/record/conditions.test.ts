import { readdir } from 'node:fs/promises';
import path from 'node:path';
import test from 'ava';
import { recordedSet } from '../testing/recorded-set.ts';
import { syntheticSet } from '../testing/synthetic-set.ts';
import { conditionNames, describeDifferences, differencesAmong, type ConditionName } from './conditions.ts';
import type { Run } from './read-set.ts';

type Measured = Pick<Run, 'row' | 'manifest'>;
type Change = (run: Measured) => Measured;

const withRow =
  (row: Partial<Run['row']>): Change =>
  (run) => ({ ...run, row: { ...run.row, ...row } });
const withVersions =
  (versions: Partial<Run['manifest']['versions']>): Change =>
  ({ row, manifest }) => ({
    row,
    manifest: { ...manifest, versions: { ...manifest.versions, ...versions } },
  });
const withMachine =
  (machine: Partial<Run['manifest']['machine']>): Change =>
  ({ row, manifest }) => ({ row, manifest: { ...manifest, machine: { ...manifest.machine, ...machine } } });
const withConfiguration =
  (configuration: Partial<Run['manifest']['configuration']>): Change =>
  ({ row, manifest }) => ({
    row,
    manifest: { ...manifest, configuration: { ...manifest.configuration, ...configuration } },
  });

interface Case {
  readonly change: Change;
  /** What the refusal says of it. */
  readonly says: string;
}

/** A condition without a case here does not compile. */
const withLinks = (rate: number) =>
  withRow({
    link_bits_per_second: rate,
    storage_link_bits_per_second: rate,
    service_link_bits_per_second: rate,
  });

const cases: Readonly<Record<ConditionName, readonly Case[]>> = {
  testbed: [{ change: withRow({ testbed: 'hosts' }), says: 'local | hosts' }],
  accelerator: [{ change: withRow({ accelerator: 'kvm' }), says: 'tcg | kvm' }],
  machine: [
    {
      change: withMachine({ cpuModel: 'other' }),
      says: 'made up, 2 cores, 24 GiB | other, 2 cores, 24 GiB',
    },
    { change: withMachine({ cores: 4 }), says: 'made up, 2 cores, 24 GiB | made up, 4 cores, 24 GiB' },
    {
      change: withMachine({ memoryBytes: 2 ** 35 }),
      says: 'made up, 2 cores, 24 GiB | made up, 2 cores, 32 GiB',
    },
  ],
  scale: [{ change: withRow({ scale: 1 }), says: '1/8 | 1/1' }],
  'link rate': [
    { change: withLinks(1e9), says: '125 Mbit/s | 1000 Mbit/s' },
    { change: withLinks(62.5e6), says: '125 Mbit/s | 62.5 Mbit/s' },
    {
      change: withRow({ storage_link_bits_per_second: 12.5e6 }),
      says: '125 Mbit/s | migration 125 Mbit/s, storage 12.5 Mbit/s, service 125 Mbit/s',
    },
  ],
  DBMS: [{ change: withRow({ dbms: 'mysql' }), says: 'mariadb | mysql' }],
  'database server': [
    {
      change: withVersions({ databaseServer: '11.8.6-MariaDB' }),
      says: '10.11.19-MariaDB | 11.8.6-MariaDB',
    },
    { change: withVersions({ databaseServer: undefined }), says: '10.11.19-MariaDB | unknown' },
  ],
  QEMU: [
    {
      change: withVersions({ qemu: 'QEMU emulator version 7.2.22' }),
      says: 'QEMU emulator version 10.0.13 | QEMU emulator version 7.2.22',
    },
    { change: withVersions({ qemu: undefined }), says: 'QEMU emulator version 10.0.13 | unknown' },
  ],
  'sysbench threads': [{ change: withRow({ threads: 8 }), says: '2 | 8' }],
  'sysbench rate': [
    { change: withRow({ rate_tps: 40 }), says: '8 | 40' },
    { change: withRow({ rate_tps: undefined }), says: '8 | unknown' },
  ],
  'downtime limit': [{ change: withRow({ downtime_limit_ms: 1000 }), says: '300 ms | 1000 ms' }],
  'raised downtime limit': [
    { change: withConfiguration({ downtimeLimitMaxMs: 2000 }), says: '0 ms | 2000 ms' },
  ],
  'before switch': [{ change: withConfiguration({ beforeSwitchPercent: 90 }), says: '50 % | 90 %' }],
  compression: [{ change: withConfiguration({ compress: 'none' }), says: 'as the engine decides | none' }],
  placement: [{ change: withConfiguration({ placement: 'off' }), says: 'on | off' }],
  'time limit': [{ change: withConfiguration({ maxTimeSeconds: 60 }), says: '600 s | 60 s' }],
  'load before': [{ change: withConfiguration({ beforeSeconds: 5 }), says: '30 s | 5 s' }],
  'load after': [{ change: withConfiguration({ afterSeconds: 10 }), says: '60 s | 10 s' }],
  'RAM comparison': [{ change: withConfiguration({ verifyRam: true }), says: 'false | true' }],
  'target memory': [
    { change: withConfiguration({ targetMemory: 'prefaulted' }), says: 'plain | prefaulted' },
  ],
  'warm start': [{ change: withConfiguration({ warmStart: true }), says: 'false | true' }],
  'VMs at once': [{ change: withConfiguration({ vms: 2 }), says: '1 | 2' }],
  guest: [{ change: withConfiguration({ guest: 'aged' }), says: 'fresh | aged' }],
};

const runs = syntheticSet({ scenarios: ['rw'], paperRowsGib: [8, 16], engines: ['restore'] }).runs.map(
  (run) => withConfiguration({ beforeSwitchPercent: 50, placement: 'on' })(run),
);

test('runs under the same conditions may differ in load, memory row, engine and revision', (t) => {
  const all = syntheticSet({ repeats: 2 }).runs.map((run) => ({
    ...run,
    manifest: { ...run.manifest, revision: { commit: run.name, dirty: false } },
  }));
  t.deepEqual(differencesAmong(all), []);
});

for (const condition of conditionNames) {
  test(`${condition}: one run under another is named, and nothing else`, (t) => {
    for (const { change, says } of cases[condition]) {
      const differing = runs.map((run, index) => (index === runs.length - 1 ? change(run) : run));
      t.is(describeDifferences(differencesAmong(differing)), `  ${condition}: ${says}`);
    }
  });
}

test('VM, pool or tables of another size are named with the memory row that has them', (t) => {
  const tables = (mib: number) => withConfiguration({ tableDataBytes: mib * 2 ** 20 });
  const sizes: readonly Case[] = [
    {
      change: withRow({ vm_memory_bytes: 3 * 2 ** 30 }),
      says: '2048 MiB / 1536 MiB / 1700 MiB | 3072 MiB / 1536 MiB / 1700 MiB',
    },
    {
      change: withRow({ buffer_pool_bytes: 2 ** 30 }),
      says: '2048 MiB / 1536 MiB / 1700 MiB | 2048 MiB / 1024 MiB / 1700 MiB',
    },
    { change: tables(1500), says: '2048 MiB / 1536 MiB / 1700 MiB | 2048 MiB / 1536 MiB / 1500 MiB' },
  ];
  const [small, large] = runs.map((run) => tables(1700)(run));
  if (small === undefined || large === undefined) throw new TypeError('two rows are needed');
  t.deepEqual(differencesAmong([small, large]), []);
  for (const { change, says } of sizes) {
    t.is(
      describeDifferences(differencesAmong([small, large, change(large)])),
      `  memory / pool / tables of row 16: ${says}`,
    );
  }
});

test('what does not apply to a method or load is no condition of its runs', (t) => {
  const options = { scenarios: ['rw'], paperRowsGib: [8], engines: ['precopy', 'balance', 'resume'] };
  const [precopy, balance, resume] = syntheticSet(options).runs;
  if (precopy === undefined || balance === undefined || resume === undefined)
    throw new TypeError('three runs are needed');
  const raised = withConfiguration({ downtimeLimitMaxMs: 2000 });
  const early = withConfiguration({ downtimeLimitMaxMs: 2000, beforeSwitchPercent: 50 })(resume);
  t.deepEqual(differencesAmong([precopy, raised(precopy), raised(balance), early]), []);
  const placed = (placement: 'on' | 'off'): Change => withConfiguration({ placement });
  t.deepEqual(differencesAmong([placed('off')(precopy), balance, placed('on')(balance)]), []);

  // Nobody runs sysbench without a load.
  const [idle] = syntheticSet({ scenarios: ['idle'], paperRowsGib: [8], engines: ['precopy'] }).runs;
  if (idle === undefined) throw new TypeError('a run is needed');
  t.deepEqual(differencesAmong([precopy, withRow({ rate_tps: 0, threads: 8 })(idle)]), []);

  const warehouses = (count: number): Change => withConfiguration({ warehouses: count });
  const tpcc = [warehouses(10)(balance), warehouses(20)(balance)];
  t.is(describeDifferences(differencesAmong([balance, ...tpcc])), '  warehouses of row 8: 10 | 20');
  t.deepEqual(differencesAmong([balance, ...tpcc.slice(1)]), []);
});

test('each committed set is of one condition, whatever its manifests do not say yet', async (t) => {
  const results = path.join(import.meta.dirname, '../../results');
  const sets = (await readdir(results)).filter((name) => name.startsWith('reference-'));
  t.true(sets.length > 10);
  for (const set of sets) t.deepEqual(differencesAmong((await recordedSet(set)).runs), [], set);
});

test('several differences are named, a line each', (t) => {
  const [first] = runs;
  if (first === undefined) throw new TypeError('a run is needed');
  const other = withRow({ scale: 1, dbms: 'mysql' })(first);
  t.is(describeDifferences(differencesAmong([first, other])), '  scale: 1/8 | 1/1\n  DBMS: mariadb | mysql');
});
