import test from 'ava';
import { command, connected, qmp, restarted, status } from '../record.fixture.ts';
import { timelineOf } from './timeline.ts';

test('no command, no timeline', (t) => {
  t.is(timelineOf([qmp(1, 'src', 'STOP')]), undefined);
});

test('STOP at the source, RESUME at the target, and QEMU’s own moment of completion', (t) => {
  t.deepEqual(
    timelineOf([
      qmp(10, 'src', 'RESUME'),
      command(100),
      qmp(101, 'src', 'MIGRATION', { status: 'active' }),
      qmp(900, 'src', 'STOP'),
      qmp(1100, 'dst', 'RESUME'),
      qmp(1150, 'src', 'MIGRATION', { status: 'completed' }),
      status(1200, 'completed'),
    ]),
    { commandMs: 100, stopMs: 900, resumeMs: 1100, ended: { status: 'completed', atMs: 1150 } },
  );
});

test('a switchover that was given up does not count: the source stopped again later', (t) => {
  const timeline = timelineOf([
    command(100),
    qmp(500, 'src', 'STOP'),
    qmp(520, 'src', 'RESUME'),
    qmp(900, 'src', 'STOP'),
    qmp(1000, 'dst', 'RESUME'),
    qmp(1001, 'src', 'STOP'),
  ]);
  t.is(timeline?.stopMs, 900);
});

test('after a cancelled migration the source runs on: no switchover', (t) => {
  t.deepEqual(
    timelineOf([command(100), qmp(500, 'src', 'STOP'), qmp(520, 'src', 'RESUME'), status(900, 'cancelled')]),
    { commandMs: 100, stopMs: undefined, resumeMs: undefined, ended: { status: 'cancelled', atMs: 900 } },
  );
});

test('of several commands the last one is the run’s; what the target’s QEMU says of itself does not end it', (t) => {
  t.deepEqual(
    timelineOf([
      command(100),
      status(200, 'failed'),
      command(300),
      status(400, 'completed', {}, 'dst'),
      qmp(401, 'dst', 'MIGRATION', { status: 'completed' }),
    ]),
    { commandMs: 300, stopMs: undefined, resumeMs: undefined, ended: undefined },
  );
});

test('a restart: down from the command to the first answer, over when the pool is loaded', (t) => {
  const events = [
    connected(50, 'heartbeat'),
    command(100),
    connected(105, 'heartbeat'), // a last one to the old server
    restarted(200, 'vm-stopped'),
    restarted(230, 'vm-started'),
    connected(880, 'ledger'),
    connected(900, 'heartbeat'),
    restarted(950, 'server-answers'),
    restarted(4000, 'pool-loaded', 'client'),
  ];
  const timeline = {
    commandMs: 100,
    stopMs: 100,
    resumeMs: 900,
    ended: { status: 'completed', atMs: 4000 },
  } as const;
  t.deepEqual(timelineOf(events), timeline);
  t.deepEqual(timelineOf(events.slice(0, -1)), { ...timeline, ended: undefined }, 'its pool never came back');
  t.is(timelineOf(events.filter((event) => event.at_ms !== 900))?.resumeMs, 950, 'the harness was first');
  t.is(timelineOf(events.slice(0, 5))?.resumeMs, undefined, 'it never answered');
});
