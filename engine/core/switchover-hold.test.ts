import test from 'ava';
import { returnPathMessage } from '../stream/records.ts';
import { encodeReturnPathMessage } from '../stream/return-path.ts';
import { SwitchoverHold } from './switchover-hold.ts';

const ack = encodeReturnPathMessage({ type: returnPathMessage.switchoverAck, data: Buffer.alloc(0) });

/** A hold of a migration with early resume, and what it does. */
function early(waitsToBeTold: boolean) {
  const does: string[] = [];
  const ends = { may: true };
  const schedule = {
    gateOpen: false,
    mayMove: false,
    becomesPostcopy: true,
    holdsQemu: () => !schedule.mayMove,
  };
  const pages = {
    ...{ almostThrough: false, awaitedPages: 0 },
    checkComplete: () => does.push('check'),
    checkMemory: () => does.push('check memory'),
  };
  const hold = new SwitchoverHold(
    schedule,
    pages,
    ({ event }) => does.push(event),
    {
      expectStop: () => does.push('expect stop'),
      prepareMove: () => does.push('prepare'),
      allowSwitchover: () => does.push('allow'),
      mayEnd: () => ends.may,
      releaseEnd: () => does.push('release end'),
      toQemu: (message) => does.push(message.equals(ack) ? 'ack' : 'message'),
      wakeIn: (ms) => does.push(`wake in ${ms} ms`),
    },
    waitsToBeTold,
  );
  hold.pushReturnPath(ack);
  return { hold, schedule, pages, ends, did: () => does.splice(0) };
}

test('before the VM moves early QEMU is left to wait, and read on when it knows of the ack', (t) => {
  const { hold, schedule, did } = early(false);
  hold.update(1000);
  t.deepEqual(did(), ['gate-held']);
  schedule.mayMove = true;
  t.false(hold.holdsQemu);
  hold.update(2000);
  t.deepEqual(did(), ['expect stop', 'wake in 500 ms']);
  for (const nowMs of [2000, 2100, 2499]) {
    hold.update(nowMs);
    t.true(hold.holdsQemu);
    t.false(hold.readsQemu, 'not even a little: it would look for dirty pages');
    t.deepEqual(did(), []);
  }
  hold.update(2500);
  t.deepEqual(did(), ['prepare', 'may-move', 'wake in 20 ms', 'allow', 'gate-released', 'ack']);
  t.false(hold.readsQemu);
  hold.update(2519);
  t.false(hold.readsQemu);
  hold.update(2520);
  t.true(hold.readsQemu);
  t.false(hold.holdsQemu);
  t.deepEqual(did(), []);
});

test('whoever is to say that it moves may take time, and QEMU waits for so long', (t) => {
  const { hold, schedule, did } = early(true);
  schedule.mayMove = true;
  hold.update(0);
  t.false(hold.waitsToBeTold);
  hold.update(600);
  t.true(hold.waitsToBeTold);
  t.deepEqual(did(), ['expect stop', 'wake in 500 ms', 'prepare', 'may-move']);
  hold.update(60_000);
  t.true(hold.holdsQemu);
  t.false(hold.readsQemu);
  t.deepEqual(did(), []);
  hold.letMove();
  t.false(hold.waitsToBeTold);
  hold.update(60_100);
  t.deepEqual(did(), ['allow', 'gate-released', 'ack']);
  t.true(hold.readsQemu, 'a QEMU whose VM was stopped waits for no ack, and nobody for QEMU');
});

test('where everything is there nobody waits', (t) => {
  const { hold, schedule, did } = early(false);
  schedule.mayMove = schedule.gateOpen = true;
  hold.update(0);
  t.deepEqual(did(), ['prepare', 'may-move', 'allow', 'check', 'gate-released', 'ack']);
  t.true(hold.readsQemu);
});

test('an end behind which the target may run waits for the destination’s word', (t) => {
  const { hold, schedule, ends, did } = early(false);
  schedule.mayMove = schedule.gateOpen = true;
  hold.update(0);
  did();
  hold.holdEnd();
  ends.may = false;
  hold.update(100);
  t.deepEqual(did(), []);
  ends.may = true;
  hold.update(200);
  t.deepEqual(did(), ['check', 'check memory', 'release end']);
});

test('RAM’s end waits for what the target has thrown away', (t) => {
  const { hold, schedule, pages, did } = early(false);
  schedule.mayMove = schedule.gateOpen = true;
  hold.update(0);
  did();
  hold.holdEnd();
  pages.awaitedPages = 1;
  hold.update(100);
  t.deepEqual(did(), []);
  pages.awaitedPages = 0;
  hold.update(200);
  t.deepEqual(did(), ['check', 'check memory', 'release end']);
});
