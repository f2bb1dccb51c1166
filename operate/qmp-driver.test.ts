import test from 'ava';
import { jobOf, parametersOf, sourceStateOf, targetStateOf } from './qmp-driver.ts';

const uris = { outgoingUri: 'unix:/a', incomingUri: 'unix:/b' };

test('what the source is told before', (t) => {
  t.deepEqual(parametersOf({ ...uris, early: false, throughEngines: true }), [{ 'max-bandwidth': 100e9 }]);
  t.deepEqual(parametersOf({ ...uris, early: false, throughEngines: false }), []);
  t.deepEqual(
    parametersOf({
      ...uris,
      early: false,
      throughEngines: false,
      bandwidthBytesPerSecond: 5,
      switchoverBytesPerSecond: 6,
      maxDowntimeMs: 7,
    }),
    [{ 'max-bandwidth': 5 }, { 'downtime-limit': 7 }, { 'avail-switchover-bandwidth': 6 }],
  );
  // Early resume has a downtime and a bandwidth of its own, at which QEMU does not end as pre-copy.
  t.deepEqual(
    parametersOf({
      ...uris,
      early: true,
      throughEngines: true,
      switchoverBytesPerSecond: 6,
      maxDowntimeMs: 7,
    }),
    [{ 'max-bandwidth': 100e9 }, { 'downtime-limit': 1, 'avail-switchover-bandwidth': 4_096_000 }],
  );
});

test('a source that has migrated is not said to be paused: nobody is to continue it', (t) => {
  t.is(sourceStateOf('postmigrate'), 'absent');
  t.is(sourceStateOf('running'), 'running');
  t.is(sourceStateOf('finish-migrate'), 'paused');
  t.is(sourceStateOf('something new'), 'unknown');
});

test('a target that waits has nothing', (t) => {
  t.is(targetStateOf('inmigrate'), 'absent');
  t.is(targetStateOf('paused'), 'paused');
  t.is(targetStateOf('running'), 'running');
  t.is(targetStateOf('something new'), 'unknown');
});

test("QEMU's figures", (t) => {
  t.deepEqual(jobOf({}), {});
  t.deepEqual(
    jobOf({
      status: 'completed',
      downtime: 12,
      ram: { remaining: 4096, 'dirty-pages-rate': 2 },
    }),
    { remainingBytes: 4096, dirtyBytesPerSecond: 8192, downtimeMs: 12 },
  );
});
