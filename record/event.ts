/**
 * The typed log of a run: what happened (events) and what was measured (samples). Terminal, files and tests are readers
 * of it. Names are those of the files, which outlive the code: snake_case with units.
 */
import { z } from 'zod';
import { recordedFieldsSchema } from './engine-event.ts';

/** The four roles of the testbed: two VM hosts, the NFS server and the load generator. */
export const hostNames = ['src', 'dst', 'nfs', 'client'] as const;
export type HostName = (typeof hostNames)[number];

/** Whose clock a time is of: `at_ms` is never corrected in the raw files, only when they are read (clock-correction.ts). */
export const clockNames = [...hostNames, 'harness'] as const;
export type ClockName = (typeof clockNames)[number];

export const runOutcomes = ['completed', 'not-converged', 'failed', 'aborted', 'skipped'] as const;

const when = {
  /** ms since the epoch, with fractions, by the clock of `host`. */
  at_ms: z.number(),
  host: z.enum(clockNames).default('harness'),
};
const figures = z.record(z.string(), z.number());

export const runEventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('run-started'), ...when, run_id: z.string() }),
  z.object({ event: z.literal('step-started'), ...when, step: z.string() }),
  z.object({ event: z.literal('step-ended'), ...when, step: z.string(), duration_ms: z.number() }),
  z.object({
    event: z.literal('step-failed'),
    ...when,
    step: z.string(),
    duration_ms: z.number(),
    message: z.string(),
    code: z.string().optional(),
  }),
  /** An event of QEMU's, at QEMU's own time; it was read `delay_ms` later. */
  z.object({
    event: z.literal('qmp'),
    ...when,
    name: z.string(),
    data: z.record(z.string(), z.unknown()),
    delay_ms: z.number(),
  }),
  /** QEMU was told to migrate, or another method began (uri `restart:dst`). The last one is t = 0 of the run. */
  z.object({ event: z.literal('migrate-command'), ...when, uri: z.string() }),
  /** `query-migrate` changed its status; `figures` are its numbers then, by QEMU's names ("ram.transferred"). */
  z.object({
    event: z.literal('migration-status'),
    ...when,
    status: z.string(),
    figures,
    error: z.string().optional(),
  }),
  /**
   * How far a restart, a handover or a replica has come. `pool-loaded`: the server has read again what its pool held. Of a
   * replica: `copied`, its server answers; `caught-up`; `source-closed`, the source was told to end.
   */
  z.object({
    event: z.literal('restart'),
    ...when,
    phase: z.enum([
      'copied',
      'caught-up',
      'source-closed',
      'vm-stopped',
      'vm-started',
      'server-answers',
      'pool-loaded',
    ]),
  }),
  /**
   * How far the buffer pool has come that is shrunk before the VM moves, and filled again. `bytes` is what it holds then;
   * of `given-back`, what the balloon has taken from the guest.
   */
  z.object({
    event: z.literal('pool'),
    ...when,
    phase: z.enum(['shrunk', 'given-back', 'grown', 'loaded']),
    bytes: z.number(),
  }),
  /**
   * sysbench. It was asked to end, ended by itself, or ended by itself and is started again; older runs do not say.
   * `figures` are its totals.
   */
  z.object({
    event: z.literal('workload-ended'),
    ...when,
    exit_code: z.number().nullable(),
    signal: z.string().nullable(),
    end: z.enum(['asked', 'by-itself', 'again']).optional(),
    figures,
  }),
  /** A line of a command that is not a measurement. */
  z.object({ event: z.literal('output'), ...when, name: z.string(), stream: z.string(), text: z.string() }),
  /** No answer for `gap_ms` from `at_ms` on. `open`: none had come when the probe ended. */
  z.object({
    event: z.literal('probe-gap'),
    ...when,
    probe: z.enum(['ping', 'heartbeat']),
    gap_ms: z.number(),
    open: z.boolean(),
  }),
  z.object({
    event: z.literal('probe-ended'),
    ...when,
    probe: z.string(),
    answers: z.number(),
    longest_gap_ms: z.number(),
  }),
  z.object({
    event: z.literal('connection'),
    ...when,
    probe: z.string(),
    state: z.enum(['connected', 'lost']),
    detail: z.string(),
  }),
  /** A check after the migration. Names and figures that `summarize` reads: see checkFigures in summary.ts. */
  z.object({
    event: z.literal('check'),
    ...when,
    name: z.string(),
    ok: z.boolean(),
    detail: z.string().default(''),
    figures: figures.default({}),
  }),
  /** How far the clock of `host` was ahead of the harness's, measured at `at_ms` of the harness's clock. */
  z.object({
    event: z.literal('clock-offset'),
    at_ms: z.number(),
    host: z.enum(clockNames),
    offset_ms: z.number(),
    uncertainty_ms: z.number(),
  }),
  /** Something that the migration engine reported, but `progress`, which becomes samples. */
  z.object({
    event: z.literal('engine'),
    ...when,
    name: z.string(),
    fields: recordedFieldsSchema,
  }),
  z.object({ event: z.literal('note'), ...when, text: z.string() }),
  z.object({
    event: z.literal('run-ended'),
    ...when,
    outcome: z.enum(runOutcomes),
    reason: z.string().optional(),
  }),
]);

/** An event as it is read back. */
export type RunEvent = z.output<typeof runEventSchema>;
/** An event as it is written: `host` may be left out where it is the harness. */
export type NewRunEvent = z.input<typeof runEventSchema>;

export const sampleSchema = z.object({
  at_ms: z.number(),
  host: z.enum(clockNames),
  /** A name of metrics.ts. */
  metric: z.string(),
  value: z.number(),
});

export type Sample = z.infer<typeof sampleSchema>;

/** Where events and samples go: the run log. */
export interface Log {
  event(event: NewRunEvent): void;
  sample(sample: Sample): void;
}
