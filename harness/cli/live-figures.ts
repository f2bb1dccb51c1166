/** What a migration is doing right now, from the samples as they arrive. Pure. */
import type { Sample } from '../record/event.ts';

interface Rate {
  readonly atMs: number;
  readonly value: number;
  readonly perSecond: number | undefined;
}

/** Counters are read every 200 ms; a rate over less than this would jump. */
const rateWindowMs = 900;

const counters: Readonly<Record<string, string>> = {
  'src nic_out_bytes:migration': 'migration',
  'dst nic_in_bytes:storage': 'storage',
};

export class LiveFigures {
  readonly #rates = new Map<string, Rate>();
  #remainingBytes: number | undefined;
  #pendingPages: number | undefined;
  #tps: number | undefined;
  #pass: number | undefined;

  take({ at_ms: atMs, host, metric, value }: Sample): void {
    const counter = counters[`${host} ${metric}`];
    if (counter !== undefined) this.#count(counter, atMs, value);
    else if (host === 'src' && metric === 'ram_remaining_bytes') this.#remainingBytes = value;
    else if (host === 'dst' && metric === 'engine_pages_pending') this.#pendingPages = value;
    else if (host === 'src' && metric === 'dirty_sync_count') this.#pass = value;
    else if (metric === 'tps') this.#tps = value;
  }

  #count(name: string, atMs: number, value: number): void {
    const last = this.#rates.get(name);
    if (last === undefined) this.#rates.set(name, { atMs, value, perSecond: undefined });
    else if (atMs - last.atMs >= rateWindowMs)
      this.#rates.set(name, { atMs, value, perSecond: ((value - last.value) / (atMs - last.atMs)) * 1000 });
  }

  /** "pass 2, 812 MB remaining, migration 14.9 MB/s, storage 0.0 MB/s, 8.0 TPS, about 54 s left" */
  get line(): string {
    const migration = this.#rates.get('migration')?.perSecond;
    const storage = this.#rates.get('storage')?.perSecond;
    const both = (migration ?? 0) + (storage ?? 0);
    const parts = [
      this.#pass === undefined || this.#pass === 0 ? undefined : `pass ${this.#pass}`,
      this.#remainingBytes === undefined ? undefined : `${megabytes(this.#remainingBytes)} MB remaining`,
      migration === undefined ? undefined : `migration ${(migration / 1e6).toFixed(1)} MB/s`,
      storage === undefined ? undefined : `storage ${(storage / 1e6).toFixed(1)} MB/s`,
      this.#pendingPages === undefined ? undefined : `${this.#pendingPages} pages pending`,
      this.#tps === undefined ? undefined : `${this.#tps.toFixed(1)} TPS`,
      this.#remainingBytes === undefined || both < 1e5
        ? undefined
        : `about ${Math.ceil(this.#remainingBytes / both)} s left`,
    ];
    return parts.filter((part) => part !== undefined).join(', ');
  }
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
