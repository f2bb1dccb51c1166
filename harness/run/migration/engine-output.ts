/** Reads what an engine prints with --json into the run's record. */
import { z } from 'zod';
import { CodedError } from '../../../foundation/coded-error.ts';
import {
  type EngineCounters,
  type EngineEventName,
  recordedFieldsSchema,
} from '../../../record/engine-event.ts';
import type { Log } from '../../../record/event.ts';
import type { HostName, HostProcess } from '../../testbed/host.ts';

const lineSchema = recordedFieldsSchema.extend({ time: z.iso.datetime(), event: z.string() });

/** Counters that become samples over time; all of them are in the events anyway. */
const sampled = [
  'pages_pending',
  'pages_restored',
  'pages_left_out',
  'pages_sent_after_all',
  'migration_link_bytes',
  'storage_link_bytes',
  'restore_rate_bytes_per_second',
  'compression_ratio',
  'rss_bytes',
  'cpu_ms',
] as const satisfies readonly (keyof EngineCounters)[];

/** Counters of one moment, by name (record/engine-event.ts, EngineCounters). */
export type CountersSink = (counters: Readonly<Partial<Record<keyof EngineCounters, unknown>>>) => void;

export class EngineOutput {
  /** Settles when the engine has ended and all of its output is recorded. */
  readonly ended: Promise<void>;
  readonly #host: HostName;
  readonly #child: HostProcess;
  readonly #log: Log;
  readonly #onCounters: CountersSink;
  readonly #seen = new Set<string>();
  #waiting: { readonly name: string; readonly resolve: () => void }[] = [];
  #failure: string | undefined;

  constructor(host: HostName, child: HostProcess, log: Log, onCounters: CountersSink = () => undefined) {
    this.#host = host;
    this.#child = child;
    this.#log = log;
    this.#onCounters = onCounters;
    this.ended = this.#read(child);
  }

  /** Writes a line to the engine's standard input. */
  tell(line: string): void {
    this.#child.write(`${line}\n`);
  }

  /** Why the engine failed, if it did. */
  get failure(): string | undefined {
    return this.#failure;
  }

  hasReported(name: EngineEventName): boolean {
    return this.#seen.has(name);
  }

  /** @throws CodedError 'run', 'migration-failed' when the engine ends, or the time is over, before the event comes */
  async waitFor(name: EngineEventName, timeoutMs: number): Promise<void> {
    if (this.#seen.has(name)) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.#waiting.push({
      name,
      resolve: () => {
        resolve(undefined);
      },
    });
    const timer = setTimeout(() => {
      reject(
        new CodedError(
          'run',
          'migration-failed',
          `the engine on ${this.#host} did not report "${name}" within ${timeoutMs} ms`,
        ),
      );
    }, timeoutMs);
    void this.ended.then(() => {
      reject(
        new CodedError(
          'run',
          'migration-failed',
          `the engine on ${this.#host} ended: ${this.#failure ?? 'without a reason'}`,
        ),
      );
    });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(child: HostProcess): Promise<void> {
    for await (const line of child.lines) this.take(line);
    const { exitCode, stderrTail } = await child.ended;
    if (exitCode !== 0) this.#failure ??= `exit code ${exitCode ?? 'none'}: ${stderrTail}`;
  }

  /** Takes one line of output. */
  take(line: string): void {
    const host = this.#host;
    let parsed;
    try {
      parsed = lineSchema.parse(JSON.parse(line));
    } catch {
      this.#log.event({
        event: 'output',
        at_ms: Date.now(),
        host,
        name: 'engine',
        stream: 'stdout',
        text: line,
      });
      return;
    }
    const { event: name, time, ...fields } = parsed;
    const at_ms = Date.parse(time);
    if (name === 'failed' || name === 'in-doubt' || name === 'incomplete')
      this.#failure ??= `${host}: ${fields.reason ?? 'without a reason'}`;
    if (name === 'progress') {
      this.#onCounters(fields);
      for (const counter of sampled) {
        const value = fields[counter];
        if (value !== undefined) this.#log.sample({ at_ms, host, metric: `engine_${counter}`, value });
      }
    } else {
      this.#log.event({
        event: 'engine',
        at_ms,
        host,
        name,
        fields,
      });
    }
    this.#seen.add(name);
    const reached = this.#waiting.filter((waiting) => waiting.name === name);
    this.#waiting = this.#waiting.filter((waiting) => waiting.name !== name);
    for (const { resolve } of reached) resolve();
  }
}
