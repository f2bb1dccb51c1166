/** Migrations whose outcome can be worked out by hand. */
import test from 'ava';
import { constantRate } from './link.ts';
import { defaultSetup, type Setup, type SimulatedMigration } from './migration.ts';
import { simulate } from './simulate.ts';
import { mib } from '../../foundation/quantity.ts';

function setup(more: Partial<Setup> = {}, guest: Partial<Setup['guest']> = {}): Setup {
  return {
    ...defaultSetup,
    migrationRate: constantRate(mib * 10),
    storageRate: constantRate(mib * 10),
    compressionRatio: 2,
    listLatencyMs: 0,
    ...more,
    guest: { ...defaultSetup.guest, memoryBytes: 200 * mib, zeroShare: 0, listedShare: 0.75, ...guest },
  };
}

test('an idle guest takes what its bytes take on the link', (t) => {
  const near = (value: number, expected: number): void => {
    t.true(Math.abs(value / expected - 1) < 0.03, `${value} is not near ${expected}`);
  };
  near(simulate('precopy', setup()).totalTimeMs, 20_000);
  near(simulate('multifd-zstd', setup()).totalTimeMs, 10_000);
  near(simulate('restore', setup()).totalTimeMs, 15_000);
  // 10 MiB/s from storage and 20 before compression over the migration link, once the link is known to be scarce, and what is under way
  // by then has passed: 10 (t - 0.45) + 20 (t - 0.45) + 10 * 0.45 = 200.
  near(simulate('balance', setup()).totalTimeMs, 6967);
  near(simulate('precopy', setup({}, { zeroShare: 0.5 })).totalTimeMs, 10_000);
});

test('early resume takes as long as balance, and the VM is at the destination before', (t) => {
  const balance = simulate('balance', setup());
  const at = (shareBeforeSwitch: number): SimulatedMigration =>
    simulate('resume', setup({ shareBeforeSwitch }));
  const moved = [0, 0.3, 0.6, 0.9].map((share) => {
    const { totalTimeMs, vmMovedMs, lostPages } = at(share);
    t.is(lostPages, 0);
    t.true(Math.abs(totalTimeMs / balance.totalTimeMs - 1) < 0.05, `${totalTimeMs} ms`);
    return vmMovedMs;
  });
  t.deepEqual(
    moved,
    moved.toSorted((a, b) => a - b),
  );
  // 50 MiB are not listed, and cross the link compressed; then QEMU waits for half a second.
  t.true((moved[0] ?? Infinity) < 3500, `${moved[0]} ms`);
  t.true((moved[3] ?? 0) > 0.7 * balance.totalTimeMs, `${moved[3]} ms`);
});

test('compressors that are slower than the link hold multifd up', (t) => {
  const slow = setup({ compressorBytesPerSecond: 5 * mib });
  t.true(simulate('multifd-zstd', slow).totalTimeMs > 39_000);
  // Ours sends pages as they are then.
  t.true(simulate('balance', slow).totalTimeMs < 10_500);
});

test('where links are fast, processors decide, and storage costs more of them than a stream does', (t) => {
  const fast = constantRate(100e9);
  const at = (cores: number): Setup =>
    setup({ migrationRate: fast, storageRate: fast, cores, maxTimeMs: 60_000 });
  for (const engine of ['precopy', 'multifd-zstd', 'restore', 'balance'] as const) {
    const { totalTimeMs, cpuMs } = simulate(engine, at(0.25));
    const busiestMs = Math.max(cpuMs.source, cpuMs.target) / 0.25;
    t.true(
      Math.abs(totalTimeMs / busiestMs - 1) < 0.35,
      `${engine}: ${totalTimeMs} ms, processors ${busiestMs} ms`,
    );
    t.true(simulate(engine, at(Infinity)).totalTimeMs < totalTimeMs);
  }
  t.true(simulate('restore', at(0.25)).totalTimeMs > simulate('precopy', at(0.25)).totalTimeMs);
});

test('pre-copy converges when the guest writes less than the link carries, and not when more', (t) => {
  const writing = (dirtyBytesPerSecond: number): Setup => setup({}, { dirtyBytesPerSecond, hotShare: 0.5 });
  const slow = simulate('precopy', writing(2 * mib));
  t.true(slow.converged);
  t.true(slow.passes > 1);
  t.true(slow.downtimeMs <= 400);
  t.false(simulate('precopy', writing(40 * mib)).converged);
  t.true(simulate('balance', writing(8 * mib)).converged);
});

test('a stall of storage is made up for by the migration link', (t) => {
  const stalls = setup({
    storageRate: [
      { fromMs: 0, bytesPerSecond: 10 * mib },
      { fromMs: 1000, bytesPerSecond: 0 },
      { fromMs: 60_000, bytesPerSecond: 10 * mib },
    ],
  });
  // 10 MiB from storage, 190 over the migration link at 20 a second.
  const { totalTimeMs, shared } = simulate('balance', stalls);
  t.log(totalTimeMs);
  t.true(totalTimeMs < 11_000, `${totalTimeMs} ms`);
  t.true((shared?.migrationIdleMs ?? Infinity) < 200);
});

test('a list that comes after the first pass is of no use', (t) => {
  const late = simulate('balance', setup({ listLatencyMs: 100_000 }));
  t.is(late.shared, undefined);
  t.is(late.restoredPages, 0);
  t.true(late.converged);
});
