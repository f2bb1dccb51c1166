/** The least time in which links could do what has to be done, whatever the order. */
import type { Rate } from './link.ts';
import { type Setup, stepMs } from './migration.ts';

const rateAt = (rate: Rate, nowMs: number): number =>
  rate.findLast(({ fromMs }) => fromMs <= nowMs)?.bytesPerSecond ?? 0;

/**
 * With both links. Until the list is there, the migration link takes pages as they come; from then on, first those that it
 * alone can bring, and what storage has comes over either. Pages that the guest writes meanwhile are not counted.
 */
export function minSharedTimeMs({ guest, ...setup }: Setup): number {
  const notZeroBytes = guest.memoryBytes * (1 - guest.zeroShare);
  let listedBytes = notZeroBytes * guest.listedShare;
  let otherBytes = notZeroBytes - listedBytes;
  let nowMs = 0;
  for (; nowMs < setup.maxTimeMs && listedBytes + otherBytes > 0; nowMs += stepMs) {
    let bytes = (rateAt(setup.migrationRate, nowMs) * setup.compressionRatio * stepMs) / 1000;
    const hasList = nowMs >= setup.listLatencyMs;
    const others = Math.min(otherBytes, hasList ? bytes : bytes * (1 - guest.listedShare));
    otherBytes -= others;
    bytes -= others;
    if (hasList) bytes += (rateAt(setup.storageRate, nowMs) * stepMs) / 1000;
    listedBytes = Math.max(0, listedBytes - bytes);
  }
  return nowMs;
}
