/** Ways to migrate. Each name is what `--engine` takes; docs/engine.md tells how they work. */
import type { ProfileName } from './profiles.ts';

export const engineNames = [
  'precopy',
  'restore',
  'balance',
  'postcopy',
  'multifd-zstd',
  'xbzrle',
  'auto-converge',
  'restart',
] as const;
export type EngineName = (typeof engineNames)[number];

/** Stock QEMU, with some of its features switched on (QEMU qapi/migration.json). */
export interface StockEngine {
  readonly kind: 'stock';
  readonly title: string;
  readonly capabilities: readonly ('postcopy-ram' | 'multifd' | 'xbzrle' | 'auto-converge')[];
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
}

/** Our engine between the two QEMUs. */
export interface PoolshiftEngine {
  readonly kind: 'poolshift';
  readonly title: string;
  readonly strategy: 'restore' | 'balance';
}

/** No live migration: the server is stopped, and started again in a new VM at the destination. */
export interface RestartEngine {
  readonly kind: 'restart';
  readonly title: string;
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
    capabilities: ['multifd'],
    parameters: { 'multifd-channels': 4, 'multifd-compression': 'zstd', 'multifd-zstd-level': 1 },
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
  restart: {
    kind: 'restart',
    title:
      'no migration: server and VM are stopped, started at the destination, and the pool is loaded again',
  },
};

/** What a matrix runs unless told otherwise, by profile: the paper's two methods, and ours where it is not the paper's matrix. */
export const defaultMatrixEngines: Readonly<Record<ProfileName, readonly EngineName[]>> = {
  lab: ['precopy', 'restore', 'balance'],
  paper: ['precopy', 'restore'],
};
