/** Stock QEMU: pre-copy, and multifd with zstd. */
import { pageSizeBytes } from '../list/page-list.ts';
import { cpuSecondsPerGib, SimulatedCores } from './cores.ts';
import { SimulatedGuest } from './guest.ts';
import { constantRate, SimulatedLink } from './link.ts';
import {
  countLost,
  deviceStateBytes,
  maxPasses,
  recordHeaderBytes,
  type Setup,
  type SimulatedMigration,
  stepMs,
  zeroRecordBytes,
} from './migration.ts';
import { SimulatedQemu } from './qemu.ts';

/** Weight of the last step in QEMU's estimate of the bandwidth, which it makes every 100 ms. */
const bandwidthWeight = stepMs / 100;

export function simulateStock(setup: Setup, compressed: boolean): SimulatedMigration {
  const guest = new SimulatedGuest(setup.guest, setup.seed);
  const qemu = new SimulatedQemu(guest);
  const link = new SimulatedLink(setup.migrationRate);
  // multifd's channels are compressed, and loaded, by threads of their own; without it, one thread loads.
  const pages = new SimulatedLink(
    constantRate(compressed ? setup.compressorBytesPerSecond : setup.targetBytesPerSecond),
  );
  const cores = { source: new SimulatedCores(setup.cores), target: new SimulatedCores(setup.cores) };
  const costs = {
    source: cpuSecondsPerGib.emits + (compressed ? cpuSecondsPerGib.compresses : 0),
    target: cpuSecondsPerGib.loads + (compressed ? cpuSecondsPerGib.decompresses : 0),
  };
  const pageBytes = recordHeaderBytes + pageSizeBytes / (compressed ? setup.compressionRatio : 1);
  const atTarget = new Uint32Array(guest.pageCount).fill(0xffff_ffff);
  let bandwidth = link.bytesPerSecond;
  let waiting = -1;
  let stoppedAtMs = 0;
  let stateSent = false;
  let nowMs = 0;
  while (!stateSent && nowMs < setup.maxTimeMs && qemu.passes < maxPasses) {
    if (!qemu.stopped) guest.run(stepMs);
    link.begin(nowMs, stepMs);
    pages.begin(nowMs, stepMs);
    cores.source.begin(stepMs);
    cores.target.begin(stepMs);
    const bytesBefore = link.bytes;
    let wantedBytes = 0;
    for (;;) {
      if (waiting < 0) {
        waiting = qemu.next(nowMs, (bandwidth * setup.downtimeLimitMs) / 1000, true);
        if (qemu.stopped && stoppedAtMs === 0) stoppedAtMs = nowMs;
      }
      if (waiting < 0) {
        wantedBytes = qemu.stopped ? deviceStateBytes : 0;
        stateSent = qemu.stopped && link.has(deviceStateBytes);
        if (stateSent) link.spend(deviceStateBytes);
        break;
      }
      const isZero = guest.zero[waiting] === 1;
      wantedBytes = isZero ? zeroRecordBytes : pageBytes;
      const rawBytes = isZero ? zeroRecordBytes : pageSizeBytes;
      if (!link.has(wantedBytes) || !pages.has(rawBytes)) break;
      if (!cores.source.areFree || !cores.target.areFree) break;
      link.spend(wantedBytes);
      pages.spend(rawBytes);
      cores.source.work(rawBytes, costs.source);
      cores.target.work(rawBytes, costs.target);
      // Reading and sending are one step here; what is written later is in the dirty log.
      atTarget[waiting] = guest.versions[waiting] ?? 0;
      waiting = -1;
    }
    link.end(wantedBytes);
    pages.end(pageSizeBytes);
    bandwidth += bandwidthWeight * (((link.bytes - bytesBefore) / stepMs) * 1000 - bandwidth);
    nowMs += stepMs;
  }
  return {
    converged: stateSent,
    totalTimeMs: nowMs,
    downtimeMs: stateSent ? nowMs - stoppedAtMs : 0,
    vmMovedMs: nowMs,
    passes: qemu.passes,
    migrationLink: { bytes: link.bytes, busyMs: link.busyMs },
    storageLink: { bytes: 0, busyMs: 0 },
    cpuMs: { source: cores.source.cpuMs, target: cores.target.cpuMs },
    restoredPages: 0,
    shared: undefined,
    pendingPagesAtSwitchover: 0,
    lostPages: stateSent ? countLost(guest.versions, atTarget) : 0,
  };
}
