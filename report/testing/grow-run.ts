/** Writes a run as the harness does while it goes on: lines are appended, and the last one may be cut. */
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'csv-stringify/sync';
import {
  syntheticLinkBitsPerSecond,
  syntheticManifest,
  syntheticScale,
  type SyntheticCell,
} from './synthetic-manifest.ts';

const startMs = Date.UTC(2026, 0, 2);
/** By so much the clock of every host is ahead of the harness's. */
const offsetMs = 1000;
const cell: SyntheticCell = { scenario: 'rw', paperRowGib: 16, engine: 'precopy', repeat: 1 };

export class GrownRun {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  get #id(): string {
    return `id-${path.basename(this.folder)}`;
  }

  async begin(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const manifest = syntheticManifest(this.#id, cell, startMs);
    await writeFile(path.join(this.folder, 'manifest.json'), JSON.stringify(manifest));
    for (const host of ['src', 'dst', 'client'])
      await this.event(0, { event: 'clock-offset', host, offset_ms: offsetMs, uncertainty_ms: 1 });
  }

  /** @param tMs since the run's start */
  async event(tMs: number, event: Readonly<Record<string, unknown>>): Promise<void> {
    await this.append('events.jsonl', `${JSON.stringify({ at_ms: startMs + tMs, ...event })}\n`);
  }

  /** Samples of every second from one time to another, since the run's start, as a migration at 15 MB/s makes them. */
  async load(fromMs: number, toMs: number): Promise<void> {
    const lines: string[] = [];
    for (let tMs = fromMs; tMs < toMs; tMs += 1000) {
      const sample = (host: string, metric: string, value: number): void => {
        lines.push(`${JSON.stringify({ at_ms: startMs + tMs + offsetMs, host, metric, value })}\n`);
      };
      sample('src', 'nic_out_bytes:migration', 15e3 * tMs);
      sample('dst', 'nic_in_bytes:storage', 5e3 * tMs);
      sample('src', 'ram_remaining_bytes', 2e9 - 15e3 * tMs);
      sample('src', 'cpu_percent', 50);
      sample('client', 'tps', 8);
      sample('client', 'latency_p95_ms', 200 + (tMs / 1000) * 3);
    }
    await this.append('samples.jsonl', lines.join(''));
  }

  async append(name: string, text: string): Promise<void> {
    await appendFile(path.join(this.folder, name), text);
  }

  async end(): Promise<void> {
    const { scenario, paperRowGib, engine, repeat } = cell;
    const row = {
      run_id: this.#id,
      outcome: 'completed',
      scenario,
      engine,
      mem_gib: paperRowGib,
      scale: syntheticScale,
      repeat,
      link_bits_per_second: syntheticLinkBitsPerSecond,
      total_time_ms: 20_000,
      downtime_stop_resume_ms: 300,
    };
    await writeFile(path.join(this.folder, 'runs.csv'), stringify([row], { header: true }));
  }
}
