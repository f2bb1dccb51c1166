import test from 'ava';
import type { Sample } from '../event.ts';
import { command, every, qmp } from '../record.fixture.ts';
import { counterIncrease, seriesOf } from '../series.ts';
import { keptSamples, momentsOf } from './kept-samples.ts';

const commandMs = 100_330;
const endMs = 140_770;
const events = [
  command(commandMs),
  qmp(endMs - 420, 'src', 'STOP'),
  qmp(endMs, 'src', 'MIGRATION', { status: 'completed' }),
  qmp(endMs - 90, 'dst', 'RESUME'),
];
const moments = momentsOf(events);
const counted = (count: number, apartMs: number): number[] =>
  Array.from({ length: count }, (_, index) => index * apartMs);
const sent = every(200, 0, 'src', 'nic_out_bytes:migration', counted(1000, 7));
const kept = (samples: readonly Sample[]): Sample[] => keptSamples(samples, events, moments);

test('counters are kept once a second around the migration, and grow in it as all of them say', (t) => {
  const few = kept(sent);
  t.true(few.length > 50 && few.length < 70, String(few.length));
  t.true(few.every(({ at_ms }) => at_ms > commandMs - 7000 && at_ms < endMs + 7000));
  for (const toMs of moments)
    t.is(
      counterIncrease(seriesOf(few, 'src', 'nic_out_bytes:migration'), commandMs, toMs),
      counterIncrease(seriesOf(sent, 'src', 'nic_out_bytes:migration'), commandMs, toMs),
    );
});

test('of the load every second is kept, of the hosts what is around the migration, and nothing that no number is made from', (t) => {
  const tps = every(1000, 0, 'client', 'tps', counted(200, 1));
  t.deepEqual(kept(tps), tps);
  const busy = every(990, 0, 'dst', 'cpu_percent', counted(200, 1));
  t.deepEqual(
    kept(busy),
    busy.filter(({ at_ms }) => at_ms >= commandMs - 6000 && at_ms <= endMs + 6000),
  );
  t.deepEqual(kept(every(1000, 0, 'nfs', 'cpu_percent', [1, 2])), []);
  t.deepEqual(kept(every(1000, commandMs, 'client', 'ping_answers', [1, 2])), []);
});

test('of the rate of dirtied pages every sample is kept from when it is known', (t) => {
  const rates = every(100, commandMs, 'src', 'dirty_pages_per_second', [0, 0, 700, 700, 650]);
  t.deepEqual(kept(rates), rates.slice(2));
});

test('of the memory of an engine the greatest is kept, too', (t) => {
  const resident = every(200, commandMs, 'dst', 'engine_rss_bytes', [100, 110, 105, 112, 190, 120, 118, 117]);
  t.deepEqual(
    kept(resident).map(({ value }) => value),
    [100, 190, 117],
  );
});

test('what is kept is kept again', (t) => {
  const once = kept(sent);
  t.deepEqual(kept(once), once);
});

test('a migration whose end is not known is kept to the end of the record, a run without one whole', (t) => {
  const broken = keptSamples(sent, [command(commandMs)], momentsOf([command(commandMs)]));
  t.is(broken.at(-1), sent.at(-1));
  const whole = keptSamples(sent, [], momentsOf([]));
  t.deepEqual([whole[0], whole.at(-1)], [sent[0], sent.at(-1)]);
});
