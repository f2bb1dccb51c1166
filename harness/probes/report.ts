/**
 * What recorders are told to do and what they print: one JSON object a line. Every `at` is the host's own clock, as ms
 * since the epoch with fractions; `record/` brings all hosts to one clock with the offsets that `clock.ts` finds.
 */
import { z } from 'zod';
import type { DatabaseServer } from '../workload/database-server.ts';

export type ProbeConfig =
  | {
      readonly probe: 'nic';
      /** Interface of each network, as in /proc/net/dev: `{ migration: 'mig0' }`. */
      readonly interfaces: Readonly<Record<string, string>>;
      /** Default 200. */
      readonly intervalMs?: number;
    }
  | {
      readonly probe: 'qmp';
      /** A QMP socket of its own: QEMU serves one client a socket. */
      readonly socket: string;
      /** Time between two `query-migrate`. Default 100. */
      readonly intervalMs?: number;
    }
  | {
      readonly probe: 'ping';
      readonly address: string;
      /** Default 5. */
      readonly intervalMs?: number;
      /** Gaps between replies above this are reported. Default 20. */
      readonly thresholdMs?: number;
    }
  | {
      readonly probe: 'heartbeat';
      readonly server: DatabaseServer;
      /** Default 20. */
      readonly intervalMs?: number;
      /** Gaps between answers above this are reported. Default 40. */
      readonly thresholdMs?: number;
    }
  | {
      readonly probe: 'ledger';
      readonly server: DatabaseServer;
      /** File on this host that receives each acknowledged number; overwritten. */
      readonly file: string;
      /** Commits a second that are aimed at. Default 10. */
      readonly ratePerSecond?: number;
    }
  | {
      readonly probe: 'lines';
      /** Names the command in reports: "sysbench". */
      readonly name: string;
      readonly command: readonly [file: string, ...args: string[]];
      /** Start it again when it has ended unasked, as soon as something listens there. */
      readonly restart?: {
        readonly host: string;
        readonly port: number;
        /** Only if it printed this text before its end. */
        readonly ifItSaid?: string;
      };
    }
  | {
      readonly probe: 'load';
      /** Processes to watch, by the name that they get in reports. */
      readonly pids?: Readonly<Record<string, number>>;
      /** systemd units to watch, by the name that they get in reports. They need not run yet. */
      readonly units?: Readonly<Record<string, string>>;
      /** Default 1000. */
      readonly intervalMs?: number;
    };

export interface RecorderConfig {
  readonly probes: readonly ProbeConfig[];
}

const at = z.number();
const count = z.number().int().nonnegative();

export const reportSchema = z.discriminatedUnion('report', [
  /** Answer to `{"clock": id}` on standard input. */
  z.object({ report: z.literal('clock'), at, id: z.number() }),
  /** Cumulative byte counters by network, all read at once. */
  z.object({
    report: z.literal('nic'),
    at,
    networks: z.record(z.string(), z.object({ inBytes: count, outBytes: count })),
  }),
  /** A QMP event. `at` is QEMU's own timestamp, `receivedAt` when the probe read it. */
  z.object({
    report: z.literal('qmp-event'),
    at,
    receivedAt: z.number(),
    name: z.string(),
    data: z.record(z.string(), z.unknown()),
  }),
  /** `query-migrate` while a migration exists: every poll until it has ended, and once more then. */
  z.object({
    report: z.literal('migration'),
    at,
    status: z.string(),
    figures: z.record(z.string(), z.number()),
    error: z.string().optional(),
  }),
  /** No answer from `fromMs` to `toMs`. `open`: the probe ended before an answer came. */
  z.object({
    report: z.literal('gap'),
    at,
    probe: z.enum(['ping', 'heartbeat']),
    fromMs: z.number(),
    toMs: z.number(),
    gapMs: z.number(),
    open: z.boolean(),
  }),
  /** Answers within the last second. `clock`: the server's clock against this host's, by the quickest of them (clock.ts). */
  z.object({
    report: z.literal('answers'),
    at,
    probe: z.enum(['ping', 'heartbeat']),
    answers: count,
    clock: z.object({ offsetMs: z.number(), uncertaintyMs: z.number() }).optional(),
  }),
  /** Totals since the ledger began. An unknown number was sent, and the connection failed before its answer. */
  z.object({ report: z.literal('ledger'), at, acknowledged: count, unknown: count }),
  z.object({
    report: z.literal('connection'),
    at,
    probe: z.enum(['qmp', 'heartbeat', 'ledger']),
    state: z.enum(['connected', 'lost']),
    detail: z.string(),
  }),
  z.object({
    report: z.literal('line'),
    at,
    name: z.string(),
    stream: z.enum(['stdout', 'stderr']),
    text: z.string(),
  }),
  z.object({
    report: z.literal('exit'),
    at,
    name: z.string(),
    exitCode: z.number().nullable(),
    signal: z.string().nullable(),
    /** `again`: by itself, and it is started again. */
    end: z.enum(['asked', 'by-itself', 'again']),
  }),
  /** CPU and memory. `cpuPercent` of the whole machine since the report before; `cpuMs` is cumulative. */
  z.object({
    report: z.literal('load'),
    at,
    cpuPercent: z.number(),
    memAvailableBytes: count,
    processes: z.record(z.string(), z.object({ cpuMs: z.number(), rssBytes: count })),
  }),
  /** The reader did not keep up and this many reports were left out. */
  z.object({ report: z.literal('dropped'), at, reports: count }),
  /** A probe ended with its last totals: answers and longest gap. */
  z.object({
    report: z.literal('probe-ended'),
    at,
    probe: z.enum(['ping', 'heartbeat']),
    answers: count,
    longestGapMs: z.number(),
  }),
  /** A probe cannot do its work. */
  z.object({ report: z.literal('failed'), at, probe: z.string(), message: z.string() }),
]);

export type ProbeReport = z.infer<typeof reportSchema>;
export type Emit = (report: ProbeReport) => void;

/** A running probe. */
export interface Probe {
  /** Ends it and its children; its last reports are out when this settles. */
  stop(): Promise<void>;
}
