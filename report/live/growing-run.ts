/** A run that is going on, read from its folder while the harness writes to it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { relativeEvents } from '../record/events.ts';
import { manifestSchema } from '../record/manifest.ts';
import type { Run } from '../record/read-set.ts';
import { runRowSchema } from '../record/run-row.ts';
import { isWantedMetric, type Point } from '../record/series.ts';
import { JsonLinesTail } from './json-lines-tail.ts';

const sampleSchema = z.object({ at_ms: z.number(), host: z.string(), metric: z.string(), value: z.number() });
const stepSchema = z.object({
  event: z.enum(['step-started', 'step-ended', 'step-failed', 'run-ended']),
  step: z.string().default(''),
});

interface RawPoint {
  readonly atMs: number;
  readonly value: number;
}

export class GrowingRun {
  readonly folder: string;
  readonly #events: JsonLinesTail;
  readonly #samples: JsonLinesTail;
  readonly #rawEvents: unknown[] = [];
  readonly #rawSeries = new Map<string, RawPoint[]>();
  #step = '';

  constructor(folder: string) {
    this.folder = folder;
    this.#events = new JsonLinesTail(path.join(folder, 'events.jsonl'));
    this.#samples = new JsonLinesTail(path.join(folder, 'samples.jsonl'));
  }

  /** The step that goes on: "warm the pool"; empty between steps. */
  get step(): string {
    return this.#step;
  }

  /** Takes in what has been written since the last call. */
  async read(): Promise<void> {
    for (const event of await this.#events.read()) {
      this.#rawEvents.push(event);
      const step = stepSchema.safeParse(event).data;
      if (step !== undefined) this.#step = step.event === 'step-started' ? step.step : '';
    }
    for (const value of await this.#samples.read()) {
      const { at_ms: atMs, host, metric, value: figure } = sampleSchema.parse(value);
      if (!isWantedMetric(metric)) continue;
      const key = `${host} ${metric}`;
      const points = this.#rawSeries.get(key);
      if (points === undefined) this.#rawSeries.set(key, [{ atMs, value: figure }]);
      else points.push({ atMs, value: figure });
    }
  }

  /** As figures take it; undefined until the run has a manifest and a sample. Before the migration, t = 0 is now. */
  async run(): Promise<Run | undefined> {
    const text = await readFile(path.join(this.folder, 'manifest.json'), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const manifest = manifestSchema.parse(JSON.parse(text));
    const { startedAt, repeat, accelerator, configuration } = manifest;
    const { events, offsets, zeroMs } = relativeEvents(this.#rawEvents);
    const corrected = [...this.#rawSeries].map(([key, points]) => {
      const offsetMs = offsets.get(key.split(' ')[0] ?? '') ?? 0;
      return [key, points.map(({ atMs, value }) => ({ atMs: atMs - offsetMs, value }))] as const;
    });
    const lastMs = Math.max(...corrected.map(([, points]) => points.at(-1)?.atMs ?? -Infinity));
    if (lastMs === -Infinity) return undefined;
    const startMs = zeroMs ?? lastMs;
    const series = new Map<string, readonly Point[]>(
      corrected.map(([key, points]) => [
        key,
        points.map(({ atMs, value }) => ({ tMs: atMs - startMs, value })),
      ]),
    );
    return {
      name: path.basename(this.folder),
      set: '',
      row: runRowSchema.parse({
        run_id: manifest.runId,
        started_at: startedAt,
        testbed: configuration.testbed,
        accelerator: accelerator.name,
        dbms: configuration.dbms,
        scenario: configuration.scenario,
        engine: configuration.engine,
        mem_gib: configuration.memoryRow,
        scale: String(configuration.scale),
        repeat: String(repeat),
        link_bits_per_second: String(configuration.linkBitsPerSecond),
        vm_memory_bytes: String(configuration.vmMemoryBytes),
        threads: String(configuration.threads),
        rate_tps: String(configuration.rateTps),
      }),
      manifest,
      events,
      series,
      nowMs: lastMs - startMs,
    };
  }
}
