/** How far a migration is, from what engines, libvirt and QEMU say: one line for people, one object for programs. Pure. */
import { inMegabytes, inSeconds, mebibytes } from '../foundation/quantity.ts';
import type { EngineRole } from './course.ts';
import type { ReportedEvent } from './launch.ts';

/** What QEMU says, by QMP or through libvirt. */
export interface JobFigures {
  readonly remainingBytes?: number;
  readonly dirtyBytesPerSecond?: number;
  readonly downtimeMs?: number;
}

type Phase =
  | 'starting'
  /** Without engines, of which the other words are. */
  | 'migrating'
  | 'waiting for the list'
  | 'first pass'
  | 'restoring'
  | 'dirty pages'
  | 'switchover'
  | 'committed'
  | 'missing pages'
  /** Early resume: the source could be lost. */
  | 'missing pages on storage'
  | 'in doubt';

export interface Progress {
  readonly elapsedMs: number;
  readonly phase: Phase;
  /** Of guest memory, that QEMU has still to send. */
  readonly remainingBytes: number | undefined;
  readonly dirtyBytesPerSecond: number | undefined;
  /** What engines say of the links; 0, and not shown, without them. */
  readonly migrationLinkBytes: number;
  readonly migrationLinkBytesPerSecond: number;
  readonly storageLinkBytes: number;
  readonly storageLinkBytesPerSecond: number;
  /** Listed pages that have not come from storage yet. */
  readonly pendingPages: number;
  /** Undefined where it cannot be told. */
  readonly leftMs: number | undefined;
}

interface Sample {
  readonly atMs: number;
  readonly migration: number;
  readonly storage: number;
  readonly remaining: number | undefined;
  readonly pending: number;
}

/** Rates are of so long. */
const windowMs = 5000;
const pageBytes = 4096;

export class ProgressWatch {
  readonly #startMs: number;
  #phase: Phase = 'starting';
  #listed = false;
  #job: JobFigures = {};
  #migration = 0;
  #storage = 0;
  #pending = 0;
  #samples: Sample[] = [];

  /** @param engines whether there are any */
  constructor(startMs: number, engines = true) {
    this.#startMs = startMs;
    if (!engines) this.#phase = 'migrating';
  }

  takeJob(job: JobFigures): void {
    this.#job = job;
  }

  takeEvent(role: EngineRole, { event, fields }: ReportedEvent): void {
    if (event === 'listed' || event === 'no-list') this.#listed = true;
    this.#phase = phaseAfter(this.#phase, role, event, this.#listed);
    if (event !== 'progress' && event !== 'done') return;
    if (role === 'source') {
      this.#migration = fields.migration_link_bytes ?? this.#migration;
      this.#pending = fields.pages_pending ?? this.#pending;
    } else this.#storage = fields.storage_link_bytes ?? this.#storage;
  }

  at(nowMs: number): Progress {
    const { remainingBytes, dirtyBytesPerSecond } = this.#job;
    const now: Sample = {
      atMs: nowMs,
      migration: this.#migration,
      storage: this.#storage,
      remaining: remainingBytes,
      pending: this.#pending,
    };
    this.#samples = [...this.#samples.filter(({ atMs }) => nowMs - atMs <= windowMs), now];
    const first = this.#samples[0] ?? now;
    const seconds = (now.atMs - first.atMs) / 1000;
    const rate = (bytes: number): number => (seconds > 0 ? Math.max(0, bytes) / seconds : 0);
    return {
      elapsedMs: nowMs - this.#startMs,
      phase: this.#phase,
      remainingBytes,
      dirtyBytesPerSecond,
      migrationLinkBytes: now.migration,
      migrationLinkBytesPerSecond: rate(now.migration - first.migration),
      storageLinkBytes: now.storage,
      storageLinkBytesPerSecond: rate(now.storage - first.storage),
      pendingPages: now.pending,
      leftMs: leftMs(first, now, rate),
    };
  }
}

/** Both ways work side by side: what takes longer. Undefined where one of them does not get on. */
function leftMs(first: Sample, now: Sample, rate: (amount: number) => number): number | undefined {
  const sent = rate((first.remaining ?? 0) - (now.remaining ?? 0));
  const restored = rate((first.pending - now.pending) * pageBytes);
  const parts = [
    { left: now.remaining ?? 0, rate: sent },
    { left: now.pending * pageBytes, rate: restored },
  ].filter(({ left }) => left > 0);
  if (now.remaining === undefined || parts.some((part) => part.rate === 0)) return undefined;
  return Math.max(0, ...parts.map((part) => (1000 * part.left) / part.rate));
}

function phaseAfter(phase: Phase, role: EngineRole, event: string, listed: boolean): Phase {
  if (event === 'in-doubt') return 'in doubt';
  const hasMoved = phase === 'missing pages' || phase === 'missing pages on storage';
  if (event === 'source-free') return 'missing pages on storage';
  if (event === 'source-needed') return 'missing pages';
  if (event === 'moved') return hasMoved ? phase : 'missing pages';
  if (event === 'committed') return hasMoved ? phase : 'committed';
  if (role === 'destination') return phase;
  switch (event) {
    case 'qemu-connected':
      return listed ? 'first pass' : 'waiting for the list';
    case 'listed':
    case 'no-list':
      return phase === 'waiting for the list' ? 'first pass' : phase;
    case 'gate-held':
      return 'restoring';
    case 'first-pass-done':
      return phase === 'restoring' ? phase : 'dirty pages';
    case 'gate-released':
      return 'dirty pages';
    case 'switch-over':
      return 'switchover';
    default:
      return phase;
  }
}

const withRate = (name: string, bytes: number, bytesPerSecond: number): string =>
  `${name} ${inMegabytes(bytes)} MB at ${inMegabytes(bytesPerSecond, 1)} MB/s`;

export function progressLine(progress: Progress): string {
  const { remainingBytes, dirtyBytesPerSecond, leftMs, pendingPages } = progress;
  return [
    `${inSeconds(progress.elapsedMs).padStart(6)} s  ${progress.phase}`,
    ...(remainingBytes === undefined ? [] : [`${mebibytes(remainingBytes)} left`]),
    ...(pendingPages === 0 ? [] : [`${mebibytes(pendingPages * pageBytes)} pending from storage`]),
    ...(progress.phase === 'migrating'
      ? []
      : [
          withRate('link', progress.migrationLinkBytes, progress.migrationLinkBytesPerSecond),
          withRate('storage', progress.storageLinkBytes, progress.storageLinkBytesPerSecond),
        ]),
    ...(dirtyBytesPerSecond === undefined || dirtyBytesPerSecond === 0
      ? []
      : [`written ${inMegabytes(dirtyBytesPerSecond, 1)} MB/s`]),
    ...(leftMs === undefined ? [] : [`about ${inSeconds(leftMs, 0)} s to go`]),
  ].join(', ');
}

/** An engine's event `waiting-for`. */
export function waitLine({ fields }: ReportedEvent): string {
  const { what = '', seconds = 0, limit_seconds: limit = 0 } = fields;
  return `waiting for ${what}: ${seconds} s${limit > 0 ? ` of at most ${limit}` : ''}`;
}
