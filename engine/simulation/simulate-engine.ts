/** Our engine between the two QEMUs: `restore`, `balance` and `resume`. Time goes on in steps. */
import { pageSizeBytes } from '../list/page-list.ts';
import type { Strategy } from '../core/schedule.ts';
import { loadMs } from '../core/scarcity.ts';
import { statusMs } from '../core/status-report.ts';
import { cpuSecondsPerGib, SimulatedCores } from './cores.ts';
import { SimulatedDestination } from './destination.ts';
import { SimulatedGuest } from './guest.ts';
import {
  countLost,
  deviceStateBytes,
  maxPasses,
  type Setup,
  type SharedTime,
  type SimulatedMigration,
  stepMs,
} from './migration.ts';
import { SimulatedQemu } from './qemu.ts';
import { SimulatedSource } from './source.ts';
import { Wire } from './wire.ts';

interface Idle {
  readonly atMs: number;
  readonly migrationMs: number;
  readonly storageMs: number;
}

export function simulateEngine(setup: Setup, strategy: Strategy): SimulatedMigration {
  const guest = new SimulatedGuest(setup.guest, setup.seed);
  const qemu = new SimulatedQemu(guest);
  const early = strategy === 'resume';
  const cores = { source: new SimulatedCores(setup.cores), target: new SimulatedCores(setup.cores) };
  const wire = new Wire(setup, strategy !== 'restore', cores.source);
  const source = new SimulatedSource(guest, strategy, setup.shareBeforeSwitch, wire, cores.source);
  const places = setup.places && !early;
  const destination = new SimulatedDestination(guest, { ...setup, places }, cores.target, (status) => {
    source.takeStatus(status, nowMs);
  });
  // avail-switchover-bandwidth is set to the link's rate, which is not that of a stall.
  const rate = setup.migrationRate.find(({ bytesPerSecond }) => bytesPerSecond > 0)?.bytesPerSecond ?? 0;
  const switchoverBytes = (rate * setup.downtimeLimitMs) / 1000;
  const pagesPerStep = Math.max(1, (setup.qemuBytesPerSecond / pageSizeBytes / 1000) * stepMs);
  const idleNow = (): Idle => ({
    atMs: nowMs,
    migrationMs: wire.link.idleMs,
    storageMs: destination.storageLink.idleMs,
  });

  let nowMs = 0;
  let nextStatusMs = 0;
  let listTaken = false;
  let load = { atMs: 0, sourceCpuMs: 0, targetCpuMs: 0, targetBusyMs: 0 };
  let stoppedAtMs = 0;
  let movedAtMs = 0;
  let pendingPagesAtSwitchover = 0;
  let listAt: Idle | undefined;
  let shared: SharedTime | undefined;
  let storageFirst = false;
  let done = false;
  while (!done && nowMs < setup.maxTimeMs && qemu.passes < maxPasses) {
    if (!qemu.stopped) guest.run(stepMs);
    cores.source.begin(stepMs);
    cores.target.begin(stepMs);
    wire.begin(nowMs);
    destination.begin(nowMs);
    const elapsedMs = nowMs - load.atMs;
    if (elapsedMs >= loadMs) {
      const idle = {
        source: cores.source.idleShare(load.sourceCpuMs, elapsedMs),
        target: cores.target.idleShare(load.targetCpuMs, elapsedMs),
      };
      // An engine that waits for a processor is busy.
      const busyShare = (destination.busyMs - load.targetBusyMs) / elapsedMs;
      const destinationBusyShare = Math.max(busyShare, 1 - idle.target);
      source.measured({ destinationBusyShare, idleShare: Math.min(idle.source, idle.target) }, nowMs);
      load = {
        atMs: nowMs,
        sourceCpuMs: cores.source.cpuMs,
        targetCpuMs: cores.target.cpuMs,
        targetBusyMs: destination.busyMs,
      };
    }
    if (nowMs >= setup.listLatencyMs && !listTaken && source.asksForList) {
      listTaken = true;
      source.takeList();
    }
    // Where the target is slower than the links, they take turns at it.
    storageFirst = !storageFirst;
    if (storageFirst) source.takeAsk(destination.restore());
    wire.deliver(nowMs, !source.holdsQemu, (frame) => {
      if (frame.is === 'package') {
        movedAtMs = nowMs;
        wire.expectWaiting();
      }
      return destination.take(frame);
    });
    if (!storageFirst) source.takeAsk(destination.restore());
    const statusDue = nowMs >= nextStatusMs;
    if (statusDue) nextStatusMs = nowMs + statusMs;
    destination.report(statusDue);
    source.advance(nowMs);
    if (listAt === undefined && source.hasList) listAt = idleNow();
    if (early && source.acknowledged && !qemu.stopped) {
      source.discarded(qemu.stop());
      wire.sendPackage();
    }
    for (let pages = 0; pages < pagesPerStep && !source.holdsQemu && wire.room > 0; pages++) {
      if (!cores.source.areFree) break;
      const page = qemu.next(nowMs, switchoverBytes, source.acknowledged);
      if (page >= 0 && guest.zero[page] !== 1)
        cores.source.work(pageSizeBytes, cpuSecondsPerGib.emits + cpuSecondsPerGib.filters);
      source.takeRecord(page, nowMs);
      if (page < 0) break;
    }
    if (qemu.stopped && stoppedAtMs === 0) {
      stoppedAtMs = nowMs;
      pendingPagesAtSwitchover = destination.pendingPages;
    }
    if (listAt !== undefined && shared === undefined && source.gateOpen) {
      const now = idleNow();
      shared = {
        durationMs: now.atMs - listAt.atMs,
        migrationIdleMs: now.migrationMs - listAt.migrationMs,
        storageIdleMs: now.storageMs - listAt.storageMs,
      };
    }
    const allSent = qemu.stopped && qemu.remainingPages === 0;
    const lastBytes = early ? 0 : deviceStateBytes;
    done = allSent && wire.isEmpty && (early ? source.gateOpen : wire.link.has(lastBytes));
    if (done) wire.link.spend(lastBytes);
    wire.end(allSent ? lastBytes : 0);
    destination.end();
    nowMs += stepMs;
  }
  return {
    converged: done,
    totalTimeMs: nowMs,
    downtimeMs: done ? (early ? movedAtMs : nowMs) - stoppedAtMs : 0,
    vmMovedMs: early ? movedAtMs : nowMs,
    passes: qemu.passes,
    migrationLink: { bytes: wire.link.bytes, busyMs: wire.link.busyMs },
    storageLink: { bytes: destination.storageLink.bytes, busyMs: destination.storageLink.busyMs },
    cpuMs: { source: cores.source.cpuMs, target: cores.target.cpuMs },
    restoredPages: destination.restoredPages,
    shared,
    pendingPagesAtSwitchover,
    lostPages: done ? countLost(guest.versions, destination.atTarget) : 0,
  };
}
