import test from 'ava';
import type { NewRunEvent } from '../../record/event.ts';
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
