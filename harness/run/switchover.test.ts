import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import test from 'ava';
import type { ClockName, NewRunEvent } from '../../record/event.ts';
import { RunLog } from '../../record/run-log.ts';
import { Checks } from './checks.ts';
import { Switchover } from './switchover.ts';

const gap = (at_ms: number, gap_ms: number): NewRunEvent => ({
  event: 'probe-gap',
  at_ms,
  host: 'client',
  probe: 'ping',
  gap_ms,
  open: false,
});

test('gaps count for the switchover they overlap, or for the time before it', (t) => {
  const switchover = new Switchover();
  const take = (...events: readonly NewRunEvent[]): void => {
    for (const event of events) switchover.take(event);
  };
  take(gap(500, 400));
  t.is(switchover.longestGapBeforeMs, undefined);
  take(
    { event: 'migrate-command', at_ms: 1000, uri: 'tcp:dst:4444' },
    gap(2000, 30),
    gap(3000, 9000),
    gap(11_990, 330),
  );
  t.is(switchover.longestGapMs, undefined);
  take({ event: 'qmp', at_ms: 12_010, host: 'src', name: 'STOP', data: {}, delay_ms: 0 });
  take(
    { event: 'qmp', at_ms: 12_300, host: 'dst', name: 'RESUME', data: {}, delay_ms: 0 },
    gap(13_000, 7000),
  );
  t.is(switchover.longestGapMs, 330);
  t.is(switchover.longestGapBeforeMs, 9000);
});

const qmp = (at_ms: number, host: 'src' | 'dst', name: string): NewRunEvent => ({
  event: 'qmp',
  at_ms,
  host,
  name,
  data: {},
  delay_ms: 0,
});
const clock = (at_ms: number, host: ClockName, offset_ms: number): NewRunEvent => ({
  event: 'clock-offset',
  at_ms,
  host,
  offset_ms,
  uncertainty_ms: 0.5,
});

/** Hosts' clocks differ: the target's is 60 ms ahead, and that of the client 5 s behind. */
const ofThreeClocks: readonly NewRunEvent[] = [
  clock(500, 'src', 0),
  clock(510, 'dst', 60),
  clock(520, 'client', -5000),
  { event: 'migrate-command', at_ms: 1000, uri: 'tcp:dst:4444' },
  gap(6990, 330),
  qmp(12_010, 'src', 'STOP'),
  qmp(12_360, 'dst', 'RESUME'),
  clock(20_000, 'src', 0),
  clock(20_010, 'dst', 60),
  clock(20_020, 'client', -5000),
];

test('times of three hosts are brought to one clock, and the bounds of their errors add up', (t) => {
  const switchover = new Switchover();
  for (const event of ofThreeClocks) switchover.take(event);
  t.deepEqual(switchover.downtime, { ms: 290, uncertaintyMs: 1 });
  t.is(switchover.longestGapMs, 330);
  t.is(switchover.longestGapBeforeMs, undefined);
});

/** Names of the checks that a run with these events fails. */
async function failedChecks(
  events: readonly NewRunEvent[],
  check: (checks: Checks) => void,
): Promise<readonly string[]> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'checks-'));
  const log = await RunLog.create(dir);
  try {
    const checks = new Checks(log);
    for (const event of events) log.event(event);
    check(checks);
    return checks.failed;
  } finally {
    await log.close();
    await rm(dir, { recursive: true });
  }
}

test('a clock that was stepped between QEMU’s events and their reading fails the run', async (t) => {
  const checked = (delaysMs: readonly number[]): Promise<readonly string[]> =>
    failedChecks(
      delaysMs.map((delay_ms) => ({
        event: 'qmp',
        at_ms: 1000,
        host: 'src',
        name: 'STOP',
        data: {},
        delay_ms,
      })),
      (checks) => {
        checks.clocks();
      },
    );
  t.deepEqual(await checked([]), []);
  t.deepEqual(await checked([0.4, 19]), []);
  t.deepEqual(await checked([0.4, -300]), ['clocks']);
  t.deepEqual(await checked([700]), ['clocks']);
});

test('a client was not without answer for less time than no VM ran, whatever the hosts’ clocks show', async (t) => {
  const checked = (events: readonly NewRunEvent[]): Promise<readonly string[]> =>
    failedChecks(events, (checks) => {
      checks.clientGap();
    });
  t.deepEqual(await checked(ofThreeClocks), []);
  const shorter = ofThreeClocks.map((event) =>
    event.event === 'probe-gap' ? { ...event, at_ms: 7009, gap_ms: 286 } : event,
  );
  t.deepEqual(await checked(shorter), ['client-gap'], '286 ms, and 3 for the clocks');
  const withinBounds = shorter.map((event) =>
    event.event === 'probe-gap' ? { ...event, gap_ms: 288 } : event,
  );
  t.deepEqual(await checked(withinBounds), []);
});
