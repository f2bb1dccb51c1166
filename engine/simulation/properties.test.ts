/** What must hold of any migration, over random guests, links and stalls. */
import test from 'ava';
import fc from 'fast-check';
import { constantRate, type Rate } from './link.ts';
import { defaultSetup, deviceStateBytes, type Setup, stepMs } from './migration.ts';
import { simulate, simulatedEngines } from './simulate.ts';
import { mib } from '../../foundation/quantity.ts';

/** A few quanta: the plan waits behind a window (30 ms), and the end is noticed with a status (25 ms). */
const quantaMs = 100;
const runs = { numRuns: 30, seed: 1 } as const;
/** Of `balance` alone, which takes less time. */
const moreRuns = { numRuns: 60, seed: 1 } as const;

/** So long it takes to find out that the link is scarce: until then nothing is compressed, and no list of use (engine/core/scarcity.ts). */
const judgedMs = 310;

const slowestRate = 5e6;
const fastestRate = 3e8;
const bytesPerSecond = fc
  .double({ min: Math.log(slowestRate), max: Math.log(fastestRate), noNaN: true })
  .map(Math.exp);

/** Rates that change after 0.2 to 3 s, with stalls; the last one is no stall. */
const changingRate: fc.Arbitrary<Rate> = fc
  .array(
    fc.record({
      lastsMs: fc.integer({ min: 200, max: 3000 }),
      bytesPerSecond: fc.oneof({ weight: 3, arbitrary: bytesPerSecond }, fc.constant(0)),
    }),
    { maxLength: 4 },
  )
  .chain((pieces) =>
    bytesPerSecond.map((last) => {
      let fromMs = 0;
      const rate = pieces.map((piece) => {
        const start = fromMs;
        fromMs += piece.lastsMs;
        return { fromMs: start, bytesPerSecond: piece.bytesPerSecond };
      });
      return [...rate, { fromMs, bytesPerSecond: last }];
    }),
  );

/** @param dirtyShare of the least rate of the migration link that is no stall: what the guest writes */
function setups(rates: fc.Arbitrary<Rate>, dirtyShare: fc.Arbitrary<number>): fc.Arbitrary<Setup> {
  const share = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true });
  return fc
    .record({
      migrationRate: rates,
      storageRate: rates,
      compressionRatio: share(1, 3),
      listLatencyMs: share(judgedMs, 2 * judgedMs),
      seed: fc.integer({ min: 1, max: 1e9 }),
      guest: fc.record({
        memoryBytes: share(64 * mib, 384 * mib),
        zeroShare: share(0, 0.4),
        listedShare: share(0, 1),
        hotShare: share(0.01, 0.3),
        dirtyShare,
      }),
    })
    .map(({ guest: { dirtyShare: written, ...guest }, ...random }) => ({
      ...defaultSetup,
      ...random,
      guest: { ...guest, dirtyBytesPerSecond: written * minRate(random.migrationRate) },
      // Only the links are to be scarce.
      places: false,
      targetBytesPerSecond: 1e12,
      compressorBytesPerSecond: 1e12,
      qemuBytesPerSecond: 5e9,
      maxTimeMs: 600_000,
    }));
}

const idle = fc.constant(0);
const writes = fc.double({ min: 0.001, max: 0.8, noNaN: true });

/** Of the link's rate, before the switchover may come (engine/wire/send-window.ts). */
const pageWindowMs = 150;

/** 11 bytes a page (engine/wire/plan-codec.ts). */
function planBytes({ guest }: Setup): number {
  return (guest.memoryBytes / 4096) * 11;
}

function minRate(rate: Rate): number {
  return Math.min(...rate.map((piece) => piece.bytesPerSecond).filter((bytes) => bytes > 0));
}

function stalledMs(rate: Rate): number {
  return rate.reduce(
    (sum, piece, index) =>
      sum + (piece.bytesPerSecond > 0 ? 0 : (rate[index + 1]?.fromMs ?? piece.fromMs) - piece.fromMs),
    0,
  );
}

const rateAt = (rate: Rate, nowMs: number): number =>
  rate.findLast(({ fromMs }) => fromMs <= nowMs)?.bytesPerSecond ?? 0;

/**
 * The least time in which both links could do what has to be done, whatever the order. Until the list is there, the migration link takes pages as they come; from then on, first those that it
 * alone can bring, and what storage has comes over either. Pages that the guest writes meanwhile are not counted.
 */
function minSharedTimeMs({ guest, ...setup }: Setup): number {
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

for (const engine of simulatedEngines) {
  test(`${engine}: no page is lost, and nothing is pending at the switchover`, (t) => {
    fc.assert(
      fc.property(setups(changingRate, fc.oneof(idle, writes)), (setup) => {
        const outcome = simulate(engine, setup);
        t.true(outcome.converged);
        t.is(outcome.lostPages, 0);
        // With early resume they follow the VM.
        if (engine !== 'resume') t.is(outcome.pendingPagesAtSwitchover, 0);
        t.true(outcome.vmMovedMs <= outcome.totalTimeMs);
      }),
      runs,
    );
  });
}

test('where cores are scarce nothing is lost either, and no host does more than they can', (t) => {
  const scarce = fc.double({ min: 0.05, max: 2, noNaN: true });
  fc.assert(
    fc.property(
      setups(changingRate, fc.oneof(idle, writes)),
      ...[scarce, fc.boolean(), fc.constantFrom(...simulatedEngines)],
      (setup, cores, places, engine) => {
        const outcome = simulate(engine, { ...setup, cores, places });
        // What a guest that writes makes of it is not promised.
        if (setup.guest.dirtyBytesPerSecond === 0) t.true(outcome.converged);
        t.is(outcome.lostPages, 0);
        // What is begun in a step is finished.
        const allowedMs = cores * outcome.totalTimeMs + quantaMs;
        for (const cpuMs of [outcome.cpuMs.source, outcome.cpuMs.target]) t.true(cpuMs <= allowedMs);
      },
    ),
    moreRuns,
  );
});

test('balance: at steady rates both links are busy until the gate opens', (t) => {
  fc.assert(
    fc.property(setups(bytesPerSecond.map(constantRate), fc.oneof(idle, writes)), (setup) => {
      const { shared } = simulate('balance', setup);
      if (shared === undefined) return;
      const allowedMs = 0.02 * shared.durationMs + quantaMs;
      t.true(shared.migrationIdleMs <= allowedMs, `migration link idle for ${shared.migrationIdleMs} ms`);
      // Storage that is many times faster than the migration link waits for plans to cross that, behind a window.
      const plansMs = pageWindowMs + (planBytes(setup) / minRate(setup.migrationRate)) * 1000;
      t.true(shared.storageIdleMs <= allowedMs + plansMs, `storage link idle for ${shared.storageIdleMs} ms`);
    }),
    moreRuns,
  );
});

test('balance: while rates change and links stall, the migration link never waits, and storage only for plans', (t) => {
  fc.assert(
    fc.property(setups(changingRate, fc.oneof(idle, writes)), (setup) => {
      const { shared } = simulate('balance', setup);
      if (shared === undefined) return;
      const allowedMs = 0.02 * shared.durationMs + quantaMs;
      t.true(shared.migrationIdleMs <= allowedMs, `migration link idle for ${shared.migrationIdleMs} ms`);
      // A plan crosses the migration link behind a window, which may be of the time before the link slowed down.
      const rates = setup.migrationRate.map((piece) => piece.bytesPerSecond).filter((rate) => rate > 0);
      const windowMs = (150 * Math.max(...rates)) / Math.min(...rates);
      const plansLateMs = stalledMs(setup.migrationRate) + windowMs;
      t.true(shared.storageIdleMs <= allowedMs + plansLateMs, `storage idle for ${shared.storageIdleMs} ms`);
    }),
    moreRuns,
  );
});

/**
 * What the optimum knows nothing of: the time in which nothing is compressed, and what must cross the migration link: a window before the
 * first plan, the plans, a window of pages before device state, device state.
 */
function overheadMs(setup: Setup): number {
  const minWindowBytes = 256 * 1024;
  const bytes = minWindowBytes + planBytes(setup) + deviceStateBytes;
  return judgedMs + pageWindowMs + (bytes / minRate(setup.migrationRate)) * 1000;
}

test('balance: at steady rates, a guest that writes nothing takes no longer than the optimum and a tenth', (t) => {
  fc.assert(
    fc.property(setups(bytesPerSecond.map(constantRate), idle), (setup) => {
      const { totalTimeMs } = simulate('balance', setup);
      const allowedMs = 1.1 * minSharedTimeMs(setup) + overheadMs(setup) + quantaMs;
      t.true(totalTimeMs <= allowedMs, `${totalTimeMs} ms, allowed ${allowedMs}`);
    }),
    moreRuns,
  );
});

test('balance: what the guest writes is sent again once or twice, not over and over', (t) => {
  fc.assert(
    fc.property(setups(bytesPerSecond.map(constantRate), writes), (setup) => {
      const { totalTimeMs } = simulate('balance', setup);
      const sendsPerMs = ((setup.migrationRate[0]?.bytesPerSecond ?? 0) * setup.compressionRatio) / 1000;
      const writtenBytes = (setup.guest.dirtyBytesPerSecond * totalTimeMs) / 1000;
      const allowedMs =
        1.1 * minSharedTimeMs(setup) +
        overheadMs(setup) +
        (2 * writtenBytes) / sendsPerMs +
        quantaMs +
        setup.downtimeLimitMs;
      t.true(totalTimeMs <= allowedMs, `${totalTimeMs} ms, allowed ${allowedMs}`);
    }),
    moreRuns,
  );
});
