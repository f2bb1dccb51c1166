/** What is assumed of a machine that nobody has measured: a warmed database VM, as measured (docs/predict.md). */
import { constantRate } from './link.ts';
import type { Setup } from './migration.ts';

const mib = 2 ** 20;

/** One core's zstd level 1 on pages of InnoDB, bytes before compression. */
export const zstdBytesPerSecondPerCore = 404e6;
/** The engine has four compressions at once; multifd is given four channels. */
export const compressors = 4;

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
  listLatencyMs: 250,
  downtimeLimitMs: 300,
  maxTimeMs: 24 * 3600_000,
  seed: 1,
};
