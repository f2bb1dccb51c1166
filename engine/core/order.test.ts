/** Why memory arrives complete (docs/engine-design.md, Order): whatever the interleaving, the target's memory is the source's in the end. */
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { arbitraryStart, scriptOf, steps, stepsAfterMove, World } from './order-model.fixture.ts';
import type { Strategy } from './schedule.ts';

/** What the interleavings must have brought about for the test to mean anything. */
interface Happened {
  restored: number;
  asked: number;
  cancelled: number;
  overtaken: number;
  givenUp: number;
  differences: number;
}

function checkInterleavings(
  t: ExecutionContext,
  strategies: readonly (Strategy | undefined)[],
  check: (world: World) => void = () => undefined,
): Happened {
  const happened: Happened = {
    restored: 0,
    asked: 0,
    cancelled: 0,
    overtaken: 0,
    givenUp: 0,
    differences: 0,
  };
  fc.assert(
    fc.property(
      arbitraryStart,
      scriptOf(steps, 60, 340),
      fc.constantFrom(...strategies),
      ({ memory, storage, entries, qemu, firstShare }, script, strategy) => {
        const world = new World(memory, storage, entries, strategy, qemu, firstShare);
        for (const [step, choice] of script) world.step(step, choice);
        world.settle();
        t.deepEqual(world.target, world.ram);
        t.is(world.plan.pendingPages, 0);
        world.pages.checkComplete();
        world.pages.checkMemory();
        check(world);
        happened.restored += world.plan.restoredPages;
        happened.asked += world.plan.askedPages;
        happened.cancelled += world.plan.cancelledPages;
        happened.overtaken += world.overtaken;
        happened.givenUp += world.givenUp;
        happened.differences += world.differences;
      },
    ),
    { numRuns: 1000 },
  );
  return happened;
}

test("whatever the interleaving and the decisions, the target's memory is the source's in the end", (t) => {
  const happened = checkInterleavings(t, [undefined]);
  const { differences, ...others } = happened;
  for (const pages of Object.values(others)) t.true(pages > 100, JSON.stringify(happened));
  t.log(differences);
  t.log(differences);
  t.log(differences);
  t.true(differences > 20, JSON.stringify(happened));
});

test('with the decisions of the schedule, too, and the switchover may come in the end', (t) => {
  const happened = checkInterleavings(t, ['restore', 'balance'], (world) => {
    t.true(world.acknowledged);
  });
  const { restored, asked, givenUp } = happened;
  t.true(restored > 100 && asked > 100 && givenUp > 100, JSON.stringify(happened));
});

test('a VM that moves before its memory is there has all of it in the end, and what it has written since', (t) => {
  const happened = { moved: 0, restored: 0, asked: 0, givenUp: 0, dropped: 0, engine: 0, qemu: 0 };
  fc.assert(
    fc.property(
      arbitraryStart,
      scriptOf(steps, 20, 150),
      scriptOf(stepsAfterMove, 50, 300),
      fc.boolean(),
      ({ memory, storage, entries }, before, after, atOnce) => {
        // In post-copy QEMU sends no differences, and free pages as any other.
        const world = new World(memory, storage, entries, undefined, {
          sendsDifferences: false,
          freeEvery: 0,
        });
        for (const [step, choice] of before) world.step(step, choice);
        world.move();
        while (atOnce && !world.runsAtTarget) world.step('deliver', 0);
        for (const [step, choice] of after) world.step(step, choice);
        world.settle();
        t.deepEqual(world.target, world.expected);
        t.true(world.runsAtTarget);
        t.is(world.pages.awaitedPages, 0);
        t.is(world.plan.pendingPages, 0);
        world.pages.checkComplete();
        happened.moved += 1;
        happened.restored += world.plan.restoredPages;
        happened.asked += world.plan.askedPages;
        happened.givenUp += world.givenUp;
        happened.dropped += world.dropped;
        happened.engine += world.requested.engine;
        happened.qemu += world.requested.qemu;
      },
    ),
    { numRuns: 1000 },
  );
  for (const times of Object.values(happened)) t.true(times > 100, JSON.stringify(happened));
});

/** What the source and QEMU do when the VM has moved, until they have said all that they know. */
const afterMove = ['owed', 'list', 'send', 'parse', 'parse-urgent', 'plan', 'deliver'] as const;

test('a destination that needs no source any more has all pages in the end, or knows that storage has not all of them', (t) => {
  const happened = { free: 0, restored: 0, lost: 0 };
  fc.assert(
    fc.property(
      arbitraryStart,
      scriptOf(steps, 20, 150),
      scriptOf(stepsAfterMove, 50, 300),
      ({ memory, storage, entries, firstShare }, before, after) => {
        const qemu = { sendsDifferences: false, freeEvery: 0 };
        const world = new World(memory, storage, entries, undefined, qemu, firstShare);
        for (const [step, choice] of before) world.step(step, choice);
        world.move();
        for (const [step, choice] of after.slice(0, 20)) world.step(step, choice);
        while (afterMove.some((step) => world.step(step, 1)));
        for (const [step, choice] of after.slice(20)) {
          if (world.needsNoSource) break;
          world.step(step, choice);
        }
        if (!world.needsNoSource || world.plan.openPages === 0) return;
        happened.free += 1;
        const { openPages, restoredPages } = world.plan;
        if (world.loseSource(after[0]?.[1] ?? 0)) {
          t.deepEqual(world.target, world.expected);
          happened.restored += world.plan.restoredPages - restoredPages;
        } else {
          // What storage does not have as the list says is missing still, and nothing else.
          t.is(world.plan.openPages, 0);
          t.is(world.target.filter((id) => id === -1).length, world.plan.pendingPages);
          t.true(world.plan.pendingPages <= openPages);
          happened.lost += 1;
        }
      },
    ),
    { numRuns: 2000 },
  );
  for (const times of Object.values(happened)) t.true(times > 50, JSON.stringify(happened));
});
