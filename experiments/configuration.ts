/**
 * The options of an experiment, in one schema: it validates the command line, makes the help text, and types the
 * manifest. `resolveConfiguration` fills in what depends on the profile.
 */
import { z } from 'zod';
import { type DatabaseSystem, databaseSystems } from '../foundation/database-systems.ts';
import { gib, mib } from '../foundation/quantity.ts';
import { engineNames, engines } from './engines.ts';
import type { LinkRates } from './link-rates.ts';
import { memValues, paperRows, paperRowsGib } from './paper-rows.ts';
import { paperLinkBitsPerSecond, profileNames, profiles } from './profiles.ts';
import { scenarioNames, scenarios } from './scenarios.ts';

/** When the target's memory gets its pages: as they are first written, or before the migration. */
const targetMemories = ['plain', 'prefaulted'] as const;

/** Where the four hosts are. */
const testbedNames = ['local', 'vagrant', 'inventory'] as const;

/** What the guest's memory holds beside the pool (harness/run/age-guest.ts). */
const guestNames = ['fresh', 'aged'] as const;

const bitUnits: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** A link rate as tc writes it: "125mbit", "2.5gbit". Yields bits per second. */
export const linkRate = z.string().transform((text, context) => {
  const match = /^(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)$/i.exec(text.trim());
  const unit = bitUnits[match?.[2]?.toLowerCase() ?? ''];
  const rate = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!(rate >= 1e6 && rate <= 1e12)) {
    context.addIssue({
      code: 'custom',
      message: 'a rate from 1mbit to 1000gbit is needed, such as 125mbit or 10gbit',
    });
    return z.NEVER;
  }
  return rate;
});

const number = (minimum: number, maximum: number) =>
  z.coerce.number(`a number from ${minimum} to ${maximum} is needed`).min(minimum).max(maximum);
const integer = (minimum: number, maximum: number) =>
  z.coerce.number(`a whole number from ${minimum} to ${maximum} is needed`).int().min(minimum).max(maximum);
const flag = z.boolean().default(false);

export const optionsSchema = z.object({
  scenario: z.enum(scenarioNames).default('rw').describe('load during the migration'),
  mem: z.enum(memValues).default('16').describe("the paper's memory row in GiB, divided by the scale"),
  engine: z.enum(engineNames).default('precopy').describe('method: how the VM is moved'),
  testbed: z
    .enum(testbedNames)
    .default('local')
    .describe(
      'where the four hosts are: containers on this machine, VMs that Vagrant makes, or machines that --inventory names',
    ),
  inventory: z.string().min(1).optional().describe('hosts.yaml (docs/real-hosts.md)'),
  profile: z.enum(profileNames).default('lab').describe('lab: scaled to one machine; paper: as in the paper'),
  scale: number(1, 64).optional().describe('divide memory and link rates by this (lab: 8, paper: 1)'),
  linkRate: linkRate
    .optional()
    .describe("rate of all three networks (the paper's 1gbit divided by the scale)"),
  migrationRate: linkRate.optional().describe('rate of the migration network (default: as --link-rate)'),
  storageRate: linkRate.optional().describe('rate of the storage network (default: as --link-rate)'),
  serviceRate: linkRate.optional().describe('rate of the service network (default: as --link-rate)'),
  dbms: z.enum(databaseSystems).default('mariadb').describe('database server in the VM'),
  guest: z
    .enum(guestNames)
    .default('fresh')
    .describe(
      'fresh: just booted and warmed; aged: as after weeks, page cache full and almost no free memory',
    ),
  threads: integer(1, 256).optional().describe('sysbench threads (lab: 2, paper: 8)'),
  rate: number(0, 1e6)
    .optional()
    .describe('transactions per second sysbench aims at, 0 = full speed (lab: 8, paper: 0)'),
  downtimeLimit: integer(1, 2_000_000).default(300).describe("QEMU's downtime-limit in ms"),
  downtimeLimitMax: integer(0, 2_000_000)
    .default(2000)
    .describe(
      'restore, balance: raise downtime-limit step by step, up to this in ms, while the VM does not converge (0: never)',
    ),
  before: number(0, 86_400).optional().describe('seconds of load before the migration (lab: 30, paper: 300)'),
  after: number(0, 86_400).optional().describe('seconds of load after it (lab: 60, paper: 600)'),
  repeat: integer(1, 100).default(1).describe('number of repeats'),
  maxTime: number(5, 86_400)
    .optional()
    .describe('cancel a migration that takes longer, in s (lab: 600, paper: 3600)'),
  seed: integer(1, 2 ** 31 - 1)
    .default(1)
    .describe("sysbench's random seed"),
  out: z.string().min(1).default('results').describe('folder for result folders'),
  placement: z
    .enum(['on', 'off'])
    .default('on')
    .describe("our engines: pages are written into the target's memory, beside its QEMU's stream"),
  beforeSwitch: number(0, 100)
    .default(0)
    .describe('resume: percent of the listed pages that are at the destination before the VM moves there'),
  compress: z
    .enum(['auto', 'none', 'zstd'])
    .optional()
    .describe('our engines: compress the migration link (default: the engine decides while it runs)'),
  targetMemory: z
    .enum(targetMemories)
    .default('plain')
    .describe('prefaulted: the target allocates its memory before the migration, with every method'),
  verifyRam: flag.describe('compare the RAM of both VMs byte by byte before the target runs'),
  vmMemory: integer(256, 1_048_576)
    .optional()
    .describe('VM memory in MiB instead of a row (tests and trials)'),
  tableData: integer(4, 1_048_576)
    .optional()
    .describe('bytes of tables in MiB instead of the row’s (tests and trials)'),
  vms: integer(1, 2).default(1).describe('VMs that are moved from one host to the other at once'),
  warmStart: flag.describe('start from a kept guest that was booted and warmed once (tests and trials)'),
  warehouses: integer(1, 10_000)
    .optional()
    .describe('--scenario tpcc: warehouses, 74 MiB each (as many as fit in the tables’ size)'),
  keep: flag.describe('leave the lab up afterwards'),
  keepOnFailure: flag.describe('leave the lab up if the run fails'),
  dryRun: flag.describe('print the plan and its expected duration, change nothing'),
  json: flag.describe('print events and results as JSON lines'),
  live: z
    .union([z.literal(true), integer(1, 65_535)], 'a port from 1 to 65535 is needed')
    .optional()
    .describe('serve the live view on 127.0.0.1, on this port or a free one'),
});

export type Options = z.infer<typeof optionsSchema>;

const bytes = z.number().nonnegative();

/** Every value that shapes a run, as the manifest records it. */
export const configurationSchema = z.object({
  scenario: optionsSchema.shape.scenario.unwrap(),
  /** The paper's row that `--mem` named; 16 where `--vm-memory` gave the size. */
  paperRowGib: z.literal(paperRowsGib),
  engine: optionsSchema.shape.engine.unwrap(),
  testbed: optionsSchema.shape.testbed.unwrap(),
  /** Path of the inventory, as it was given; absent in the local lab. */
  inventory: z.string().optional(),
  profile: optionsSchema.shape.profile.unwrap(),
  scale: z.number(),
  dbms: optionsSchema.shape.dbms.unwrap(),
  /** Of the migration network. */
  linkBitsPerSecond: z.number(),
  storageLinkBitsPerSecond: z.number(),
  serviceLinkBitsPerSecond: z.number(),
  vmMemoryBytes: bytes,
  /** The paper's pool for this row, divided by the scale. */
  bufferPoolAskedBytes: bytes,
  /** What the server is started with: less than asked where a small VM would thrash. */
  bufferPoolBytes: bytes,
  /** The paper's pool in use, divided by the scale. */
  poolInUseAskedBytes: bytes,
  /** Tables and indexes are sized to this. */
  tableDataBytes: bytes,
  /** Of TPC-C; absent with other loads. */
  warehouses: z.number().optional(),
  threads: z.number(),
  rateTps: z.number(),
  downtimeLimitMs: z.number(),
  /** What our engines may raise it to; absent in older runs. */
  downtimeLimitMaxMs: z.number().optional(),
  beforeSeconds: z.number(),
  afterSeconds: z.number(),
  maxTimeSeconds: z.number(),
  seed: z.number(),
  /** Of our engines; absent in older runs, which had none. */
  placement: optionsSchema.shape.placement.unwrap().optional(),
  /** Of the listed pages, before the VM moves; with engine `resume`. */
  beforeSwitchPercent: z.number().optional(),
  /** Of the migration link by our engines; absent where it was left to them. */
  compress: optionsSchema.shape.compress,
  /** Absent where it is plain. */
  targetMemory: z.literal('prefaulted').optional(),
  verifyRam: z.boolean(),
  /** VMs that were moved at once; absent for one. */
  vms: z.literal(2).optional(),
  /** Absent where it is fresh. */
  guest: z.literal('aged').optional(),
  /** The source VM was one that had been kept when it was warm; absent where it was booted for the run. */
  warmStart: z.literal(true).optional(),
});

export type Configuration = Readonly<z.infer<typeof configurationSchema>>;

/** Rates of the networks, where the testbed shapes them. */
export function linkRatesOf(
  configuration: Pick<
    Configuration,
    'linkBitsPerSecond' | 'storageLinkBitsPerSecond' | 'serviceLinkBitsPerSecond'
  >,
): LinkRates {
  return {
    migration: configuration.linkBitsPerSecond,
    storage: configuration.storageLinkBitsPerSecond,
    service: configuration.serviceLinkBitsPerSecond,
  };
}

/**
 * Largest pool that a guest of this size runs without thrashing. Measured: MariaDB 10.11 with 333 MiB of 512 MiB, 768 of
 * 1024 and 80 % of 2048; MySQL 9.7 with 256 of 512 and 704 of 1024. Kernel, server and file cache need the rest. PostgreSQL reads
 * through the file cache, and has a process for each client.
 */
export function maxPoolBytes(vmMemoryBytes: number, dbms: DatabaseSystem): number {
  const share = { mariadb: 0.85, mysql: 0.875, postgresql: 0.85 }[dbms];
  const otherBytes = { mariadb: 102 * mib, mysql: 192 * mib, postgresql: 160 * mib }[dbms];
  const bytes = Math.min(0.8 * vmMemoryBytes, share * vmMemoryBytes - otherBytes);
  return Math.max(Math.floor(bytes / (8 * mib)) * 8 * mib, 32 * mib);
}

/** What a warehouse of TPC-C takes in MariaDB 10.11's pool after its population; items and the server's own pages take 18 MiB. */
const warehouseBytes = 74 * mib;

function warehousesIn(bytes: number): number {
  return Math.max(1, Math.floor((bytes - 18 * mib) / warehouseBytes));
}

export function resolveConfiguration(options: Options): Configuration {
  const profile = profiles[options.profile];
  const row = paperRows[options.mem];
  const scale = options.scale ?? profile.scale;
  const linkBitsPerSecond = options.linkRate ?? Math.round(paperLinkBitsPerSecond / scale);
  // Guest memory is whole MiB, and QEMU's page of 2 MiB for huge pages.
  const vmMemoryBytes =
    options.vmMemory === undefined
      ? Math.round((row.paperRowGib * gib) / scale / (2 * mib)) * 2 * mib
      : options.vmMemory * mib;
  const bufferPoolAskedBytes = Math.round(
    options.vmMemory === undefined ? (row.bufferPoolGib * gib) / scale : 0.8 * vmMemoryBytes,
  );
  const bufferPoolBytes =
    Math.floor(Math.min(bufferPoolAskedBytes, maxPoolBytes(vmMemoryBytes, options.dbms)) / (8 * mib)) *
    8 *
    mib;
  const poolInUseAskedBytes = Math.round(
    options.vmMemory === undefined ? (row.poolInUseGib * gib) / scale : (bufferPoolBytes * 7) / 8,
  );
  // A pool is never filled to the last page: the server keeps a free list, and some pages are its own.
  const tableDataBytes =
    options.tableData === undefined
      ? Math.floor(Math.min(poolInUseAskedBytes, 0.95 * bufferPoolBytes))
      : options.tableData * mib;
  return {
    scenario: options.scenario,
    paperRowGib: row.paperRowGib,
    engine: options.engine,
    testbed: options.testbed,
    ...(options.inventory === undefined ? {} : { inventory: options.inventory }),
    profile: options.profile,
    scale,
    dbms: options.dbms,
    linkBitsPerSecond: options.migrationRate ?? linkBitsPerSecond,
    storageLinkBitsPerSecond: options.storageRate ?? linkBitsPerSecond,
    serviceLinkBitsPerSecond: options.serviceRate ?? linkBitsPerSecond,
    vmMemoryBytes,
    bufferPoolAskedBytes,
    bufferPoolBytes,
    poolInUseAskedBytes,
    tableDataBytes,
    ...(scenarios[options.scenario].sysbenchWorkload === 'tpcc'
      ? { warehouses: options.warehouses ?? warehousesIn(tableDataBytes) }
      : {}),
    threads: options.threads ?? profile.threads,
    rateTps: options.rate ?? profile.rateTps,
    downtimeLimitMs: options.downtimeLimit,
    downtimeLimitMaxMs: options.downtimeLimitMax,
    beforeSeconds: options.before ?? profile.beforeSeconds,
    afterSeconds: options.after ?? profile.afterSeconds,
    maxTimeSeconds: options.maxTime ?? profile.maxTimeSeconds,
    seed: options.seed,
    placement: options.placement,
    ...(options.engine === 'resume' ? { beforeSwitchPercent: options.beforeSwitch } : {}),
    ...(options.compress !== undefined && engines[options.engine].kind === 'poolshift'
      ? { compress: options.compress }
      : {}),
    ...(options.targetMemory === 'plain' ? {} : { targetMemory: options.targetMemory }),
    verifyRam: options.verifyRam,
    ...(options.vms === 2 ? { vms: 2 } : {}),
    ...(options.guest === 'aged' ? { guest: options.guest } : {}),
    ...(options.warmStart ? { warmStart: true } : {}),
  };
}
