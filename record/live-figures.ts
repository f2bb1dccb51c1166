/** What a migration is doing right now, from the samples and events as they arrive. Pure. */
import { megabytes, megabytesPerSecond } from '../foundation/quantity.ts';
import type { NewRunEvent, Sample } from './event.ts';

interface Rate {
  readonly atMs: number;
  readonly value: number;
  readonly perSecond: number | undefined;
  /** The greatest so far: what the link carries when it is asked to. */
  readonly maxPerSecond: number;
}

/** Of a guest page. */
const pageSizeBytes = 4096;

/** Counters are read every 200 ms; a rate over less than this would jump. */
const rateWindowMs = 900;
/** A link that carries less has nothing to carry. */
const idleBytesPerSecond = 1e5;
/** Share of the list that was sent from guest memory, from which on both links are taken to work on it. */
const sharedFrom = 0.005;

const counters: Readonly<Record<string, string>> = {
  'src nic_out_bytes:migration': 'migration',
  'dst nic_in_bytes:storage': 'storage',
};

export class LiveFigures {
  readonly #rates = new Map<string, Rate>();
  /** The newest value of every other sample, by host and metric. */
  readonly #newest = new Map<string, number>();
  #acceptedPages: number | undefined;

  event(event: NewRunEvent): void {
    if (event.event !== 'engine' || event.name !== 'accepted') return;
    const { pages_accepted: pages } = event.fields;
    if (typeof pages === 'number') this.#acceptedPages = pages;
  }

  take({ at_ms: atMs, host, metric, value }: Pick<Sample, 'at_ms' | 'host' | 'metric' | 'value'>): void {
    const name = `${host} ${metric}`;
    const counter = counters[name];
    if (counter === undefined) this.#newest.set(name, value);
    else this.#count(counter, atMs, value);
  }

  #count(name: string, atMs: number, value: number): void {
    const last = this.#rates.get(name);
    if (last === undefined) {
      this.#rates.set(name, { atMs, value, perSecond: undefined, maxPerSecond: 0 });
    } else if (atMs - last.atMs >= rateWindowMs) {
      const perSecond = ((value - last.value) / (atMs - last.atMs)) * 1000;
      const maxPerSecond = Math.max(last.maxPerSecond, perSecond);
      this.#rates.set(name, { atMs, value, perSecond, maxPerSecond });
    }
  }

  /** What QEMU itself has still to send, and what is to come of the list, in bytes of guest memory. */
  get #left(): { readonly qemuBytes: number; readonly listBytes: number } | undefined {
    const remaining = this.#newest.get('src ram_remaining_bytes');
    if (remaining === undefined) return undefined;
    const pages = (name: string): number => this.#newest.get(name) ?? 0;
    const accepted = this.#acceptedPages ?? 0;
    // QEMU counts listed pages until they come by and are left out.
    const passing = Math.max(0, accepted - pages('src engine_pages_left_out'));
    const done = pages('dst engine_pages_restored') + pages('src engine_pages_sent_after_all');
    return {
      qemuBytes: Math.max(0, remaining - passing * pageSizeBytes),
      listBytes: Math.max(0, accepted - done) * pageSizeBytes,
    };
  }

  /** Seconds until all of it has crossed its link, at the rates of now; undefined where nothing moves. */
  get secondsLeft(): number | undefined {
    const left = this.#left;
    const migration = this.#rates.get('migration');
    const storage = this.#rates.get('storage')?.perSecond ?? 0;
    if (left === undefined) return undefined;
    const ratio = this.#newest.get('src engine_compression_ratio') ?? 1;
    const both = (migration?.perSecond ?? 0) * ratio + storage;
    const sentFromMemory = this.#newest.get('src engine_pages_sent_after_all') ?? 0;
    const isShared = sentFromMemory > sharedFrom * (this.#acceptedPages ?? 0);
    if (left.listBytes === 0 || isShared) {
      return both < idleBytesPerSecond ? undefined : (left.qemuBytes + left.listBytes) / both;
    }
    // Storage alone works on the list; dirty pages wait for its end, so the migration link may be idle.
    if (storage < idleBytesPerSecond) return undefined;
    const migrationSeconds = left.qemuBytes / Math.max(migration?.maxPerSecond ?? 0, idleBytesPerSecond);
    return Math.max(migrationSeconds, left.listBytes / storage);
  }

  /** "pass 2, 812 MB remaining, migration 14.9 MB/s, storage 0.0 MB/s, 8.0 TPS, about 54 s left" */
  get line(): string {
    const pass = this.#newest.get('src dirty_sync_count');
    const left = this.#left;
    const migration = this.#rates.get('migration')?.perSecond;
    const storage = this.#rates.get('storage')?.perSecond;
    const pendingPages = this.#newest.get('dst engine_pages_pending');
    const tps = this.#newest.get('client tps');
    const secondsLeft = this.secondsLeft;
    const parts = [
      pass === undefined || pass === 0 ? undefined : `pass ${pass}`,
      left === undefined ? undefined : `${megabytes(left.qemuBytes + left.listBytes)} remaining`,
      migration === undefined ? undefined : `migration ${megabytesPerSecond(migration)}`,
      storage === undefined ? undefined : `storage ${megabytesPerSecond(storage)}`,
      pendingPages === undefined ? undefined : `${pendingPages} pages pending`,
      tps === undefined ? undefined : `${tps.toFixed(1)} TPS`,
      secondsLeft === undefined ? undefined : `about ${Math.ceil(secondsLeft)} s left`,
    ];
    return parts.filter((part) => part !== undefined).join(', ');
  }
}
