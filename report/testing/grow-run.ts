/** Writes a run as the harness does while it goes on: lines are appended, and the last one may be cut. */
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'csv-stringify/sync';

const startMs = Date.UTC(2026, 0, 2);
/** By so much the clock of every host is ahead of the harness's. */
const offsetMs = 1000;

export class GrownRun {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async begin(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const manifest = {
      format: 1,
      runId: `id-${path.basename(this.folder)}`,
      startedAt: new Date(startMs).toISOString(),
      repeat: 1,
      configuration: {
        scenario: 'rw',
        memoryRow: '16',
        engine: 'precopy',
        testbed: 'local',
        scale: 8,
        dbms: 'mariadb',
        linkBitsPerSecond: 125e6,
        vmMemoryBytes: 2 ** 31,
        threads: 2,
        rateTps: 8,
      },
      accelerator: { name: 'tcg', reason: 'made up' },
      revision: { dirty: true },
      versions: { qemu: '10.0.13', node: 'v24' },
      machine: { cpuModel: 'made up', cores: 2, memoryBytes: 2 ** 34 },
    };
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
    const row = {
      run_id: `id-${path.basename(this.folder)}`,
      outcome: 'completed',
      scenario: 'rw',
      engine: 'precopy',
      mem_gib: 16,
      scale: 8,
      repeat: 1,
      link_bits_per_second: 125e6,
      total_time_ms: 20_000,
      downtime_stop_resume_ms: 300,
    };
    await writeFile(path.join(this.folder, 'runs.csv'), stringify([row], { header: true }));
  }
}
