/** What the report needs of a run's manifest.json. */
import { z } from 'zod';

const text = z.string().optional();

export const manifestSchema = z.object({
  format: z.literal(1),
  runId: z.string(),
  startedAt: z.string().default(''),
  repeat: z.number().default(1),
  accelerator: z.object({ name: z.string() }),
  configuration: z.object({
    scenario: z.string(),
    memoryRow: z.string(),
    engine: z.string(),
    testbed: z.string(),
    scale: z.number(),
    dbms: z.string(),
    linkBitsPerSecond: z.number(),
    vmMemoryBytes: z.number(),
    threads: z.number(),
    rateTps: z.number(),
    profile: text,
    tableDataBytes: z.number().optional(),
    beforeSeconds: z.number().optional(),
    afterSeconds: z.number().optional(),
    maxTimeSeconds: z.number().optional(),
    verifyRam: z.boolean().optional(),
  }),
  goodputBytesPerSecond: z.object({ migration: z.number(), storage: z.number() }).optional(),
  revision: z.object({ commit: text, dirty: z.boolean() }),
  versions: z.object({
    qemu: text,
    hostKernel: text,
    guestKernel: text,
    databaseServer: text,
    sysbench: text,
    nfsServer: text,
    node: text,
  }),
  machine: z.object({
    cpuModel: z.string(),
    cores: z.number(),
    memoryBytes: z.number(),
    distribution: text,
  }),
});

export type Manifest = z.output<typeof manifestSchema>;
