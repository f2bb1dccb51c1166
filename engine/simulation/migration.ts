/** What is simulated, by default a warmed database VM as measured (docs/predict.md), and what comes out. */
import { mib } from '../../foundation/quantity.ts';
import { defaultShareBeforeSwitch } from '../core/schedule.ts';
import type { GuestShape } from './guest.ts';
import { constantRate, type Rate } from './link.ts';

export interface Setup {
  readonly guest: GuestShape;
  /** What the links carry of TCP payload. */
  readonly migrationRate: Rate;
  readonly storageRate: Rate;
  /** Bytes before compression per byte after it, where the engine compresses. */
  readonly compressionRatio: number;
  /** Bytes before compression that all compressors of a host take in a second. */
  readonly compressorBytesPerSecond: number;
  /** What the target's QEMU takes of pages from one stream in a second. */
  readonly targetBytesPerSecond: number;
  /** How fast QEMU goes through pages that the engine leaves out. */
  readonly qemuBytesPerSecond: number;
  /** Of each host, that nothing else uses. */
  readonly cores: number;
  /** Whether the destination engine places pages, where its method can; else they go through QEMU's loader. */
  readonly places: boolean;
  /** From the start until the list is there, where it is of use by then. It tells what was clean at the start. */
  readonly listLatencyMs: number;
  readonly downtimeLimitMs: number;
  /** Of the list, 0 to 1: what is to be at the destination before the VM moves, with `resume`. */
  readonly shareBeforeSwitch: number;
  /** A migration that takes longer is given up. */
  readonly maxTimeMs: number;
  readonly seed: number;
}

/** One core's zstd level 1 on pages of InnoDB, bytes before compression. */
export const zstdBytesPerSecondPerCore = 404e6;
/** The engine has four compressions at once; multifd is given four channels. */
export const compressors = 4;

/**
 * Of a guest that has run for weeks (`--guest aged`), in place of the default's, which is one that was warmed minutes ago: as
 * measured of row 16 in 2 GiB, page cache listed (results/bench/page-cache.txt).
 */
export const agedShares = { zeroShare: 0.06, listedShare: 0.86 } as const;

export const defaultSetup: Setup = {
  guest: {
    memoryBytes: 1024 * mib,
    zeroShare: 0.118,
    listedShare: 0.828,
    dirtyBytesPerSecond: 0,
    hotShare: 0.12,
  },
  migrationRate: constantRate(14.92e6),
  storageRate: constantRate(14.92e6),
  compressionRatio: 2.3,
  compressorBytesPerSecond: compressors * zstdBytesPerSecondPerCore,
  targetBytesPerSecond: 1.15e9,
  qemuBytesPerSecond: 2e9,
  cores: Infinity,
  places: true,
  listLatencyMs: 250,
  downtimeLimitMs: 300,
  shareBeforeSwitch: defaultShareBeforeSwitch,
  maxTimeMs: 24 * 3600_000,
  seed: 1,
};

interface LinkUse {
  readonly bytes: number;
  readonly busyMs: number;
}

/** The time in which both links can work on the list: from its arrival until the gate opens. */
export interface SharedTime {
  readonly durationMs: number;
  readonly migrationIdleMs: number;
  readonly storageIdleMs: number;
}

export interface SimulatedMigration {
  readonly converged: boolean;
  readonly totalTimeMs: number;
  /** From the stop of the VM until the target has everything. */
  readonly downtimeMs: number;
  /** From the command until the VM runs at the destination; the total time where nothing follows it. */
  readonly vmMovedMs: number;
  readonly passes: number;
  readonly migrationLink: LinkUse;
  readonly storageLink: LinkUse;
  /** What QEMU and the engine of each host have used. */
  readonly cpuMs: { readonly source: number; readonly target: number };
  readonly restoredPages: number;
  /** Undefined where there was no list, or it came too late. */
  readonly shared: SharedTime | undefined;
  /** Pages that storage had not given when the VM stopped. */
  readonly pendingPagesAtSwitchover: number;
  /** Pages whose content at the target is not the source's. */
  readonly lostPages: number;
}

/** Length of a step. */
export const stepMs = 2;
/** A migration is given up after so many passes. */
export const maxPasses = 60;
/** Of a record of a page: its header, 8 bytes, and for zeros one byte more (migration/ram.c). */
export const recordHeaderBytes = 8;
export const zeroRecordBytes = 9;
/** Device state, sent while the VM is stopped. */
export const deviceStateBytes = 256 * 1024;

export function countLost(source: Uint32Array, target: Uint32Array): number {
  let lost = 0;
  for (let page = 0; page < source.length; page++) if (source[page] !== target[page]) lost += 1;
  return lost;
}
