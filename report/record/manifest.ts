/** What the report needs of a run's manifest.json. */
import { z } from 'zod';

const text = z.string().optional();

export const manifestSchema = z.object({
  format: z.literal(1),
  runId: z.string(),
  configuration: z.object({
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
