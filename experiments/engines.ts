/** Ways to migrate. Each name is what `--engine` takes; docs/engine-design.md tells how they work. */
import type { ProfileName } from './profiles.ts';

export const engineNames = [
  'precopy',
  'restore',
  'balance',
  'resume',
  'postcopy',
  'multifd-zstd',
  'xbzrle',
  'auto-converge',
  'multifd',
  'precopy-stepped',
  'multifd-zstd-stepped',
  'postcopy-preempt',
  'free-page-hint',
  'shrink',
  'restart',
  'handover',
  'replica',
] as const;
export type EngineName = (typeof engineNames)[number];

/** Stock QEMU, with some of its features switched on (QEMU qapi/migration.json). */
export interface StockEngine {
  readonly kind: 'stock';
  readonly title: string;
  readonly capabilities: readonly (
    'postcopy-ram' | 'postcopy-preempt' | 'multifd' | 'xbzrle' | 'auto-converge'
  )[];
  readonly parameters: {
    readonly 'multifd-channels'?: number;
    readonly 'multifd-compression'?: 'zstd';
    readonly 'multifd-zstd-level'?: number;
    readonly 'xbzrle-cache-size'?: number;
  };
  /** Switched on where QEMU has it, and the engine is the same without it: it is measured more. */
  readonly optionalCapabilities?: readonly 'postcopy-blocktime'[];
  /** Switch to post-copy so long after the migrate command. */
  readonly postcopyAfterMs?: number;
  /** The downtime limit begins low and rises with time, in place of `--downtime-limit`. */
  readonly downtimeRamp?: DowntimeRamp;
  /** Both VMs have a virtio-balloon; with `free-page-hint` its driver tells QEMU the guest's free pages, to leave them out. */
  readonly balloon?: 'plain' | 'free-page-hint';
  /** Before, the server's buffer pool is made so small a share of itself, and the balloon takes what that frees; afterwards
   * the pool is filled again. */
  readonly shrinksPoolTo?: number;
}

/** A downtime limit that rises in equal steps to its most, each after a time that grows with the guest's memory. */
export interface DowntimeRamp {
  readonly maxMs: number;
  readonly steps: number;
  readonly delaySecondsPerGib: number;
}

/**
 * OpenStack Nova's defaults: live_migration_downtime, live_migration_downtime_steps, live_migration_downtime_delay
 * (nova/conf/libvirt.py).
 */
const novaRamp: DowntimeRamp = { maxMs: 500, steps: 10, delaySecondsPerGib: 75 };

const multifdZstd = {
  capabilities: ['multifd'],
  parameters: { 'multifd-channels': 4, 'multifd-compression': 'zstd', 'multifd-zstd-level': 1 },
} as const satisfies Partial<StockEngine>;

/** Our engine between the two QEMUs. */
export interface PoolshiftEngine {
  readonly kind: 'poolshift';
  readonly title: string;
  readonly strategy: 'restore' | 'balance' | 'resume';
}

/** No live migration: the server is stopped, and started again in a new VM at the destination. */
export interface RestartEngine {
  readonly kind: 'restart';
  readonly title: string;
  /**
   * The new VM is booted beforehand, with a disk and an address of its own, and clients come through a proxy. Its server opens
   * the source's disk (`handover`), or a copy of the data on its own disk that has caught up with the source (`replica`).
   */
  readonly standby?: 'handover' | 'replica';
}

export type Engine = StockEngine | PoolshiftEngine | RestartEngine;

export const engines: Readonly<Record<EngineName, Engine>> = {
  precopy: { kind: 'stock', title: 'stock QEMU pre-copy', capabilities: [], parameters: {} },
  restore: { kind: 'poolshift', title: 'cached pages come from shared storage', strategy: 'restore' },
  balance: {
    kind: 'poolshift',
    title: 'storage and a compressed migration link share the cached pages',
    strategy: 'balance',
  },
  resume: {
    kind: 'poolshift',
    title: 'as balance, but the VM moves when a share of the cached pages is there, and the rest follows',
    strategy: 'resume',
  },
  postcopy: {
    kind: 'stock',
    title: 'stock QEMU post-copy, switched after 1 s',
    capabilities: ['postcopy-ram'],
    optionalCapabilities: ['postcopy-blocktime'],
    parameters: {},
    postcopyAfterMs: 1000,
  },
  'multifd-zstd': {
    kind: 'stock',
    title: 'stock QEMU multifd with zstd level 1',
    ...multifdZstd,
  },
  xbzrle: {
    kind: 'stock',
    title: 'stock QEMU with XBZRLE deltas, 256 MiB cache',
    capabilities: ['xbzrle'],
    parameters: { 'xbzrle-cache-size': 256 * 2 ** 20 },
  },
  'auto-converge': {
    kind: 'stock',
    title: 'stock QEMU that slows the guest down until it converges',
    capabilities: ['auto-converge'],
    parameters: {},
  },
  multifd: {
    kind: 'stock',
    title: 'stock QEMU multifd, 4 channels, without compression',
    capabilities: ['multifd'],
    parameters: { 'multifd-channels': 4 },
  },
  'precopy-stepped': {
    kind: 'stock',
    title: 'stock QEMU pre-copy with a downtime limit that rises as Nova raises it',
    capabilities: [],
    parameters: {},
    downtimeRamp: novaRamp,
  },
  'multifd-zstd-stepped': {
    kind: 'stock',
    title: 'stock QEMU multifd with zstd level 1 and a downtime limit that rises as Nova raises it',
    ...multifdZstd,
    downtimeRamp: novaRamp,
  },
  'postcopy-preempt': {
    kind: 'stock',
    title:
      'stock QEMU post-copy, switched after 1 s, with a channel of its own for pages that the guest waits for',
    capabilities: ['postcopy-ram', 'postcopy-preempt'],
    optionalCapabilities: ['postcopy-blocktime'],
    parameters: {},
    postcopyAfterMs: 1000,
  },
  'free-page-hint': {
    kind: 'stock',
    title: 'stock QEMU pre-copy that the guest tells its free pages (virtio-balloon)',
    capabilities: [],
    parameters: {},
    balloon: 'free-page-hint',
  },
  shrink: {
    kind: 'stock',
    title:
      'stock QEMU pre-copy of a VM whose buffer pool is shrunk to an eighth before, and loaded again afterwards',
    capabilities: [],
    parameters: {},
    balloon: 'plain',
    shrinksPoolTo: 1 / 8,
  },
  restart: {
    kind: 'restart',
    title:
      'no migration: server and VM are stopped, started at the destination, and the pool is loaded again',
  },
  handover: {
    kind: 'restart',
    title:
      'no migration: the server is stopped, and one in a VM that waits takes its disk over, behind a proxy',
    standby: 'handover',
  },
  replica: {
    kind: 'restart',
    title:
      'no migration: a copy of the database on a disk of its own catches up, and takes over behind a proxy',
    standby: 'replica',
  },
};

/** What a matrix runs unless told otherwise, by profile: the paper's two methods, and ours where it is not the paper's matrix. */
export const defaultMatrixEngines: Readonly<Record<ProfileName, readonly EngineName[]>> = {
  lab: ['precopy', 'restore', 'balance'],
  paper: ['precopy', 'restore'],
};
