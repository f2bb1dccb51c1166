/** Engines without systemd, started, followed, found and ended, with a /run of their own. */
import path from 'node:path';
import test from 'ava';
import { execa } from 'execa';
import { parseEvent, plainName, unitOf } from './launch.ts';

const fixture = path.join(import.meta.dirname, 'launch.fixture.ts');
const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('an engine that nobody supervises', async (t) => {
  const { stdout } = await execa('unshare', [
    ...['--mount', 'bash', '-c', 'mount -t tmpfs tmpfs /run; exec "$0" "$1"', process.execPath, fixture],
  ]);
  const steps = stdout.split('\n').map((line) => JSON.parse(line) as { step: string; what: unknown });
  t.deepEqual(steps, [
    { step: 'event', what: 'listening' },
    { step: 'keys', what: '600 root' },
    { step: 'status', what: [true, 'listening', null] },
    { step: 'event', what: 'cancelled' },
    { step: 'status', what: [false, 'cancelled', 'cancelled'] },
    { step: 'kept', what: [true, true, true, false, true] },
  ]);
});

test('names that fit a unit and a path', (t) => {
  t.is(plainName('my vm/1 $x'), 'my_vm_1__x');
  t.is(unitOf('source', 'my vm'), 'poolshift-source-my_vm');
});

test('a line that is no event is passed over', (t) => {
  t.is(parseEvent('noise'), undefined);
  t.is(parseEvent('{"event":5}'), undefined);
  t.deepEqual(parseEvent('{"event":"progress","pages_pending":3,"of_another_version":"x"}'), {
    event: 'progress',
    fields: { pages_pending: 3, of_another_version: 'x' },
  });
});
