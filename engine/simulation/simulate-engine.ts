/** Our engine between the two QEMUs: `restore` and `balance`. Time goes on in steps. */
import { pageSizeBytes } from '../list/page-list.ts';
import { Schedule, type Strategy } from '../core/schedule.ts';
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

/** As in engine/destination/destination-engine.ts. */
const statusMs = 25;

interface Idle {
  readonly atMs: number;
  readonly migrationMs: number;
  readonly storageMs: number;
}

export function simulateEngine(setup: Setup, strategy: Strategy): SimulatedMigration {
  const guest = new SimulatedGuest(setup.guest, setup.seed);
  const qemu = new SimulatedQemu(guest);
  const schedule = new Schedule(strategy);
  const wire = new Wire(guest, setup, strategy === 'balance');
  const source = new SimulatedSource(guest, schedule, wire);
  const destination = new SimulatedDestination(guest, setup);
  // avail-switchover-bandwidth is set to the link's rate, which is not that of a stall.
  const rate = setup.migrationRate.find(({ bytesPerSecond }) => bytesPerSecond > 0)?.bytesPerSecond ?? 0;
  const switchoverBytes = (rate * setup.downtimeLimitMs) / 1000;
  const pagesPerStep = Math.max(1, (setup.qemuBytesPerSecond / pageSizeBytes / 1000) * stepMs);
  const held = (): boolean => schedule.holdsQemu(true, source.almostThrough);
  const idleNow = (): Idle => ({
    atMs: nowMs,
    migrationMs: wire.link.idleMs,
    storageMs: destination.storageLink.idleMs,
  });

  let nowMs = 0;
  let nextStatusMs = 0;
  let pendingTold = 0;
  let stoppedAtMs = 0;
  let pendingPagesAtSwitchover = 0;
  let listAt: Idle | undefined;
  let shared: SharedTime | undefined;
  let storageFirst = false;
  let done = false;
  while (!done && nowMs < setup.maxTimeMs && qemu.passes < maxPasses) {
    if (!qemu.stopped) guest.run(stepMs);
    wire.begin(nowMs);
    destination.begin(nowMs);
    if (nowMs >= setup.listLatencyMs && schedule.waitsForList) {
      listAt = idleNow();
      source.takeList();
    }
    // Where the target is slower than the links, they take turns at it.
    storageFirst = !storageFirst;
    if (storageFirst) source.answer(destination.restore());
    wire.deliver(nowMs, !held(), (frame) => destination.take(frame));
    if (!storageFirst) source.answer(destination.restore());
    const status = destination.status;
    if (nowMs >= nextStatusMs || (status.pendingPages === 0 && pendingTold > 0)) {
      nextStatusMs = nowMs + statusMs;
      pendingTold = status.pendingPages;
      source.takeStatus(status, nowMs);
    }
    source.advance(held());
    if (schedule.gateOpen) wire.allowSwitchover();
    for (let pages = 0; pages < pagesPerStep && !held() && wire.room > 0; pages++) {
      const page = qemu.next(nowMs, switchoverBytes, schedule.gateOpen);
      source.takeRecord(page, nowMs);
      if (page < 0) break;
    }
    if (qemu.stopped && stoppedAtMs === 0) {
      stoppedAtMs = nowMs;
      pendingPagesAtSwitchover = destination.pendingPages + source.withheldPages;
    }
    if (listAt !== undefined && shared === undefined && source.hasList && schedule.gateOpen) {
      const now = idleNow();
      shared = {
        durationMs: now.atMs - listAt.atMs,
        migrationIdleMs: now.migrationMs - listAt.migrationMs,
        storageIdleMs: now.storageMs - listAt.storageMs,
      };
    }
    done = qemu.stopped && qemu.remainingPages === 0 && wire.isEmpty && wire.link.has(deviceStateBytes);
    if (done) wire.link.spend(deviceStateBytes);
    wire.end(qemu.stopped && qemu.remainingPages === 0 ? deviceStateBytes : 0);
    destination.end();
    nowMs += stepMs;
  }
  return {
    converged: done,
    totalTimeMs: nowMs,
    downtimeMs: done ? nowMs - stoppedAtMs : 0,
    passes: qemu.passes,
    migrationLink: { bytes: wire.link.bytes, busyMs: wire.link.busyMs },
    storageLink: { bytes: destination.storageLink.bytes, busyMs: destination.storageLink.busyMs },
    restoredPages: destination.restoredPages,
    shared,
    pendingPagesAtSwitchover,
    lostPages: done ? countLost(guest.versions, destination.atTarget) : 0,
  };
}
