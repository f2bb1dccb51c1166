import test from 'ava';
import type { RestoreStatus } from '../wire/messages.ts';
import { Schedule } from './schedule.ts';

function status(
  receivedPages: number,
  pendingPages: number,
  more: Partial<RestoreStatus> = {},
): RestoreStatus {
  return {
    receivedPages,
    pendingPages,
    cursorPages: receivedPages - pendingPages,
    restoredPages: receivedPages - pendingPages,
    mismatchedPages: 0,
    unreadablePages: 0,
    cancelledPages: 0,
    storageBytes: 0,
    givenUpSources: [],
    ...more,
  };
}

test('nothing is held where nothing is restored', (t) => {
  const schedule = new Schedule('passthrough');
  t.true(schedule.gateOpen);
  schedule.firstPassThrough();
  t.false(schedule.holdsQemu(false, true));
});

test('the gate opens when the whole list is planned and the destination has settled all of it', (t) => {
  const schedule = new Schedule('restore');
  schedule.listArrived(1000);
  t.false(schedule.gateOpen);
  schedule.listWalked(600, 400);
  schedule.status(status(600, 0), 0);
  t.false(schedule.gateOpen, 'entries are left');
  schedule.listWalked(400, 0);
  t.false(schedule.gateOpen, 'the last status is of before the last part');
  schedule.status(status(1000, 1), 10);
  t.false(schedule.gateOpen, 'a page is pending');
  schedule.status(status(1000, 0), 20);
  t.true(schedule.gateOpen);
});

test('without a list, or with an empty one, the gate opens', (t) => {
  const none = new Schedule('restore');
  t.false(none.gateOpen);
  none.noList();
  t.true(none.gateOpen);
  const empty = new Schedule('balance');
  empty.listArrived(0);
  t.true(empty.gateOpen);
});

test('QEMU waits after its first pass, or before it where only that stops the switchover', (t) => {
  const schedule = new Schedule('restore');
  schedule.listArrived(10);
  t.false(schedule.holdsQemu(true, true), 'it cannot switch over without the ack');
  t.true(schedule.holdsQemu(false, true));
  t.false(schedule.holdsQemu(false, false));
  schedule.firstPassThrough();
  t.true(schedule.holdsQemu(true, true));
  schedule.listWalked(0, 0);
  t.false(schedule.holdsQemu(true, true));
});

test('near the end of the list QEMU goes on for two dirty passes, while it cannot switch over', (t) => {
  const schedule = new Schedule('restore');
  schedule.listArrived(900);
  schedule.listWalked(800, 100);
  schedule.status(status(800, 0), 0);
  t.false(schedule.dirtyPassMayGo, 'its first pass comes first');
  schedule.firstPassThrough();
  t.true(schedule.dirtyPassMayGo);
  t.false(schedule.holdsQemu(true, true));
  t.true(schedule.holdsQemu(false, true), 'it could switch over');
  schedule.listWalked(50, 50);
  schedule.status(status(850, 51), 10);
  t.true(schedule.holdsQemu(true, true), 'too much is left');
  schedule.status(status(850, 50), 20);
  t.false(schedule.holdsQemu(true, true));
  schedule.dirtyPassThrough();
  t.true(schedule.holdsQemu(true, true));
  schedule.listWalked(50, 0);
  schedule.status(status(900, 19), 30);
  t.true(schedule.holdsQemu(true, true));
  schedule.status(status(900, 18), 40);
  t.false(schedule.holdsQemu(true, true), 'one part in 48 is left');
  schedule.dirtyPassThrough();
  schedule.status(status(900, 1), 50);
  t.true(schedule.holdsQemu(true, true), 'the gate is about to open');
});

test('planning keeps ahead of storage, by what storage does in a second', (t) => {
  const schedule = new Schedule('restore');
  schedule.listArrived(1_000_000);
  t.is(schedule.pagesToPlan, 8192);
  schedule.listWalked(8192, 991_808);
  t.is(schedule.pagesToPlan, 0);
  schedule.status(status(8192, 4096), 0);
  t.is(schedule.pagesToPlan, 4096);
  schedule.status(status(8192, 0), 200);
  t.is(schedule.settledPagesPerSecond, 20_480);
  t.is(schedule.pagesToPlan, 20_480);
});

test('pages to plan are whole, at any rate', (t) => {
  const schedule = new Schedule('restore');
  schedule.listArrived(1_000_000);
  schedule.listWalked(8192, 991_808);
  schedule.status(status(8192, 8192), 0);
  schedule.status(status(8192, 0), 333.3);
  t.true(Number.isInteger(schedule.pagesToPlan));
});

test('balance sends from the back, and leaves the link to QEMU while it sends', (t) => {
  const restore = new Schedule('restore');
  restore.listArrived(10);
  t.false(restore.sendsFromMemory(true, 1, false));
  const balance = new Schedule('balance');
  balance.isShortOf('link');
  t.false(balance.sendsFromMemory(true, 1, false), 'there is no list yet');
  balance.listArrived(10);
  t.true(balance.sendsFromMemory(true, 0.1, false));
  t.false(balance.sendsFromMemory(true, 0, false));
  t.true(balance.sendsFromMemory(false, 0.9, false));
  t.false(balance.sendsFromMemory(false, 0.2, false));
  balance.listWalked(0, 0);
  t.false(balance.sendsFromMemory(true, 1, false), 'the gate is open');
});

test('pages of a source that was given up are sent, by any strategy, and the others are planned', (t) => {
  const schedule = new Schedule('restore');
  schedule.listArrived(100_000);
  schedule.listWalked(8192, 91_808);
  const failed = { restoredPages: 0, mismatchedPages: 8192, givenUpSources: [0] };
  schedule.status(status(8192, 0, failed), 0);
  t.true(schedule.pagesToPlan > 0);
  t.true(schedule.sendsFromMemory(true, 1, true));
  t.false(schedule.sendsFromMemory(true, 0, true));
  t.false(schedule.sendsFromMemory(true, 1, false));
});

test('what is to be there before the VM moves is wanted first, and by other strategies all is', (t) => {
  t.is(new Schedule('resume', 0.25).firstShare, 0.25);
  // Nothing has to be there: then there is no share that the rest could come behind.
  t.is(new Schedule('resume', 0).firstShare, 1);
  t.is(new Schedule('balance', 0.25).firstShare, 1);
});

test('with resume the VM may move when its share of the list is there and QEMU has sent what was dirtied', (t) => {
  const schedule = new Schedule('resume', 0.25);
  schedule.listArrived(1000);
  schedule.listWalked(1000, 0);
  t.false(schedule.dirtyPassMayGo, 'the first pass is not through');
  schedule.firstPassThrough();
  schedule.status(status(1000, 800), 0);
  t.false(schedule.dirtyPassMayGo, 'a fifth is there');
  t.true(schedule.holdsQemu(true, true));
  schedule.status(status(1000, 750), 10);
  t.true(schedule.dirtyPassMayGo);
  t.false(schedule.holdsQemu(true, true));
  t.false(schedule.mayMove);
  schedule.dirtyPassThrough();
  t.true(schedule.mayMove);
  t.false(schedule.holdsQemu(true, true), 'it goes over to post-copy');
  t.false(schedule.gateOpen, 'pages are missing');
  schedule.status(status(1000, 0), 20);
  t.true(schedule.gateOpen);
});

test('other strategies move when everything is there, and resume without a list as well', (t) => {
  const balance = new Schedule('balance');
  balance.listArrived(100);
  balance.firstPassThrough();
  balance.dirtyPassThrough();
  t.false(balance.mayMove);
  balance.listWalked(0, 0);
  t.true(balance.mayMove);
  const resume = new Schedule('resume');
  t.false(resume.mayMove);
  resume.noList();
  t.false(resume.mayMove, 'QEMU has not sent everything once');
  resume.firstPassThrough();
  t.true(resume.mayMove);
});

test('balance leaves listed pages to QEMU until the link is found to be scarce, and asks for no list', (t) => {
  const balance = new Schedule('balance');
  t.false(balance.asksForList);
  t.true(balance.passesListed);
  balance.isShortOf('processors');
  t.false(balance.asksForList);
  balance.isShortOf('link');
  t.true(balance.asksForList);
  t.false(balance.passesListed);
  for (const other of [
    new Schedule('balance', 0, 'always'),
    new Schedule('restore'),
    new Schedule('resume'),
  ]) {
    t.true(other.asksForList);
    t.false(other.passesListed);
  }
});

test('with a list that was asked for before, nothing is sent beside QEMU while that is about to send it', (t) => {
  const balance = new Schedule('balance');
  balance.listArrived(100);
  t.is(balance.pagesToPlan, 100, 'what storage has by then it need not send');
  t.false(balance.sendsFromMemory(false, 1, false));
  t.true(balance.sendsFromMemory(false, 1, true), 'what storage does not have');
  balance.firstPassThrough();
  t.true(balance.sendsFromMemory(true, 1, false));
});
