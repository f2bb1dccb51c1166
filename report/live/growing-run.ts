/** A run that is going on, read from its folder while the harness writes to it. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { sampleSchema, type ClockName, type RunEvent } from '../../record/event.ts';
import { LiveFigures } from '../../record/live-figures.ts';
import { parseEvent, runFiles } from '../../record/read-run.ts';
import { relativeEvents } from '../record/events.ts';
import { anyManifestSchema } from '../../record/manifest.ts';
import type { Run } from '../record/read-set.ts';
import type { Point } from '../../record/series.ts';
import { isWantedMetric } from '../record/series.ts';
import { JsonLinesTail } from './json-lines-tail.ts';

const stepEnds: ReadonlySet<string> = new Set<RunEvent['event']>(['step-ended', 'step-failed', 'run-ended']);

/** Its samples are the first that are shown. */
const firstShownStep = 'load before the migration';

/** What one host measured of one metric, by that host's clock. */
interface RawSeries {
  readonly host: ClockName;
  readonly points: Point[];
}

export class GrowingRun {
  readonly folder: string;
  readonly #events: JsonLinesTail;
  readonly #samples: JsonLinesTail;
  readonly #rawEvents: RunEvent[] = [];
  readonly #rawSeries = new Map<string, RawSeries>();
  #step = '';
  #stepFromMs = 0;
  #live = new LiveFigures();
  /** When the load began: what was before, such as the links' calibration, is not of this figure. */
  #shownFromMs = -Infinity;

  constructor(folder: string) {
    this.folder = folder;
    this.#events = new JsonLinesTail(path.join(folder, runFiles.events));
    this.#samples = new JsonLinesTail(path.join(folder, runFiles.rawSamples));
  }

  /** The step that goes on: "warm the pool"; empty between steps. */
  get step(): string {
    return this.#step;
  }

  /** Of that step; before the first one it is the run's. By the harness's clock. */
  get stepFromMs(): number {
    return this.#stepFromMs;
  }

  /** By the harness's clock; undefined before anything is written. */
  get startedMs(): number | undefined {
    return this.#rawEvents[0]?.at_ms;
  }

  /** "pass 2, 812 MB remaining, ..., about 54 s left"; empty where nothing is known. */
  get figuresLine(): string {
    return this.#live.line;
  }

  /** Takes in what has been written since the last call. */
  read(): void {
    for (const value of this.#events.read()) {
      const event = parseEvent(value);
      if (event === undefined) continue;
      this.#rawEvents.push(event);
      this.#live.event(event);
      if (event.event === 'step-started') {
        this.#step = event.step;
        this.#stepFromMs = event.at_ms;
        this.#live = new LiveFigures();
        if (event.step === firstShownStep) this.#shownFromMs = event.at_ms;
      } else if (stepEnds.has(event.event)) this.#step = '';
    }
    for (const value of this.#samples.read()) {
      const sample = sampleSchema.parse(value);
      const { at_ms: tMs, host, metric, value: figure } = sample;
      this.#live.take(sample);
      if (!isWantedMetric(metric)) continue;
      const key = `${host} ${metric}`;
      const series = this.#rawSeries.get(key) ?? { host, points: [] };
      if (series.points.length === 0) this.#rawSeries.set(key, series);
      series.points.push({ tMs, value: figure });
    }
  }

  /** As figures take it; undefined until the run has a manifest and a sample. Before the migration, t = 0 is now. */
  async run(): Promise<Run | undefined> {
    const text = await readFile(path.join(this.folder, runFiles.manifest), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const manifest = anyManifestSchema.parse(JSON.parse(text));
    const { startedAt, repeat, accelerator, configuration } = manifest;
    const { events, correct, zeroMs } = relativeEvents(this.#rawEvents);
    const corrected = [...this.#rawSeries].map(([key, { host, points }]) => {
      const onOneClock = points.map(({ tMs, value }) => ({ tMs: correct(host, tMs), value }));
      return [key, onOneClock.filter(({ tMs }) => tMs >= this.#shownFromMs)] as const;
    });
    const lastMs = Math.max(...corrected.map(([, points]) => points.at(-1)?.tMs ?? -Infinity));
    if (lastMs === -Infinity) return undefined;
    const startMs = zeroMs ?? lastMs;
    const series = new Map<string, readonly Point[]>(
      corrected.map(([key, points]) => [
        key,
        points.map(({ tMs, value }) => ({ tMs: tMs - startMs, value })),
      ]),
    );
    return {
      name: path.basename(this.folder),
      set: '',
      row: {
        run_id: manifest.runId,
        started_at: startedAt,
        testbed: configuration.testbed,
        accelerator: accelerator.name,
        dbms: configuration.dbms,
        scenario: configuration.scenario,
        engine: configuration.engine,
        paper_row_gib: configuration.paperRowGib,
        scale: configuration.scale,
        repeat: repeat,
        link_bits_per_second: configuration.linkBitsPerSecond,
        storage_link_bits_per_second: configuration.storageLinkBitsPerSecond,
        service_link_bits_per_second: configuration.serviceLinkBitsPerSecond,
        vm_memory_bytes: configuration.vmMemoryBytes,
        threads: configuration.threads,
        rate_tps: configuration.rateTps,
      },
      manifest,
      events,
      series,
      nowMs: lastMs - startMs,
    };
  }
}
