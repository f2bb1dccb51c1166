/** manifest.json: what a run was asked to be and on what it ran. Written when the run starts, filled in as it goes. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { configurationSchema } from '../experiments/configuration.ts';
import { CodedError } from '../foundation/coded-error.ts';
import { writeWhole } from './whole-file.ts';

const bytes = z.number().nonnegative();

const version = z.string().optional();

const heldMemorySchema = z.object({
  /** In pages of nothing but zeros, wherever they are. */
  zeroBytes: bytes,
  /** File pages, and those of the file system itself, as the guest counts them. */
  pageCacheBytes: bytes,
});

export type HeldMemory = Readonly<z.infer<typeof heldMemorySchema>>;

const olderSchema = z.looseObject({
  /** The option's text, from before `paperRowGib`: '16'. */
  memoryRow: z.string().optional(),
  /** Of all three networks, where the others' are not said. */
  linkBitsPerSecond: z.number(),
});

function fromOldNames(configuration: unknown): unknown {
  const old = olderSchema.safeParse(configuration);
  if (!old.success) return configuration;
  const { memoryRow, linkBitsPerSecond } = old.data;
  return {
    ...(memoryRow === undefined ? {} : { paperRowGib: Number(memoryRow) }),
    storageLinkBitsPerSecond: linkBitsPerSecond,
    serviceLinkBitsPerSecond: linkBitsPerSecond,
    ...old.data,
  };
}

export const manifestSchema = z.object({
  /** Version of the result folder's layout. */
  format: z.literal(1),
  runId: z.string().min(1),
  /** ISO 8601, UTC. */
  startedAt: z.iso.datetime(),
  /** Which repeat of its cell this run is, from 1. */
  repeat: z.number().int().positive(),
  /** Which of the run's VMs this record is of, where several were moved at once; absent for the first. */
  vm: z.literal(1).optional(),
  /** The part of a matrix that this run belongs to. */
  shard: z.object({ index: z.number().int().positive(), count: z.number().int().positive() }).optional(),
  /** Name of the pair of hosts that it ran on, as it was given. */
  pair: z.string().min(1).optional(),
  configuration: z.preprocess(fromOldNames, configurationSchema),
  accelerator: z.object({ name: z.enum(['tcg', 'kvm']), reason: z.string() }),
  /** What the shaped links really carried before the run, one way, as payload of one TCP stream. */
  goodputBytesPerSecond: z.object({ migration: bytes, storage: bytes }).optional(),
  /** What the pool held after the warm-up; asked: `configuration.poolInUseAskedBytes`. */
  poolInUseReachedBytes: bytes.optional(),
  /** What else the source VM's memory held before the load; absent in older runs. */
  heldMemory: heldMemorySchema.optional(),
  revision: z.object({
    /** Commit of the checkout that ran; undefined where there is no git. */
    commit: z.string().optional(),
    /** Whether files differed from that commit. */
    dirty: z.boolean(),
  }),
  versions: z.object({
    qemu: version,
    hostKernel: version,
    guestKernel: version,
    databaseServer: version,
    sysbench: version,
    nfsServer: version,
    node: z.string(),
  }),
  machine: z.object({
    cpuModel: z.string(),
    cores: z.number().int(),
    memoryBytes: bytes,
    kernel: z.string(),
    distribution: z.string(),
  }),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** As a report reads it: an engine, load or testbed may be one that only a later version knows. */
export const anyManifestSchema = manifestSchema.extend({
  configuration: z.preprocess(
    fromOldNames,
    configurationSchema.extend({
      scenario: z.string(),
      paperRowGib: z.number(),
      engine: z.string(),
      testbed: z.string(),
      profile: z.string(),
      dbms: z.string(),
    }),
  ),
});

export type AnyManifest = z.infer<typeof anyManifestSchema>;

/** It is written again as more gets known. @throws CodedError 'record' `not-writable` */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const file = path.join(folder, 'manifest.json');
  const text = `${JSON.stringify(manifestSchema.parse(manifest), undefined, 2)}\n`;
  await writeWhole(file, (unfinished) => writeFile(unfinished, text));
}

/** @throws CodedError 'record' `not-readable` */
export async function readManifest(folder: string): Promise<Manifest> {
  const file = path.join(folder, 'manifest.json');
  try {
    return manifestSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new CodedError('record', 'not-readable', `${file} is not a manifest`, { cause: error });
  }
}
