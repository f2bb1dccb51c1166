import test from 'ava';
import { WireError } from '../wire/wire-error.ts';
import { MigrationPhase } from './migration-phase.ts';

const broken = new WireError('closed', 'the connection broke');
const targetFailed = new WireError('peer-aborted', 'the target is gone', undefined, 'target-failed');

function committed(): MigrationPhase {
  const phase = new MigrationPhase();
  phase.greeted();
  phase.qemuConnected();
  phase.committed();
  return phase;
}

test('before the commit an error leaves the VM at the source', (t) => {
  const phase = new MigrationPhase();
  t.is(phase.takeError(broken), 'failed');
  phase.greeted();
  t.is(phase.takeError(broken), 'failed');
  phase.qemuConnected();
  t.is(phase.takeError(broken), 'failed');
});

test('after the commit a broken connection leaves it open who runs the VM, and later errors change nothing', (t) => {
  const phase = committed();
  t.is(phase.takeError(broken), 'in-doubt');
  t.deepEqual(phase.current, { is: 'in-doubt', error: broken });
  t.is(phase.takeError(targetFailed), 'ignored');
  t.deepEqual(phase.current, { is: 'in-doubt', error: broken });
});

test('a target that was seen to fail does not run, while QEMU waits for its word', (t) => {
  t.is(committed().takeError(targetFailed), 'failed');
  const ended = committed();
  ended.qemuHasEnded();
  t.is(ended.takeError(targetFailed), 'in-doubt');
});

test("with the target's last word nothing is in doubt", (t) => {
  const phase = committed();
  phase.returnPathHasEnded();
  t.false(phase.bothEnded);
  t.is(phase.takeError(broken), 'failed');
  phase.qemuHasEnded();
  t.true(phase.bothEnded);
});

test('what is over stays over', (t) => {
  const phase = committed();
  phase.over();
  t.is(phase.takeError(broken), 'ignored');
});
