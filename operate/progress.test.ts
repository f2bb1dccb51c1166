import test from 'ava';
import type { ReportedEvent } from './launch.ts';
import { progressLine, ProgressWatch } from './progress.ts';

const event = (name: string, fields: ReportedEvent['fields'] = {}): ReportedEvent => ({
  event: name,
  fields,
});

test('phases follow the events', (t) => {
  const watch = new ProgressWatch(0);
  const phases = [watch.at(0).phase];
  for (const name of [
    'listening',
    'qemu-connected',
    'listed',
    'gate-held',
    'first-pass-done',
    'gate-released',
    'switch-over',
    'committed',
    'in-doubt',
  ]) {
    watch.takeEvent('source', event(name));
    phases.push(watch.at(0).phase);
  }
  t.deepEqual(phases, [
    ...[
      'starting',
      'starting',
      'waiting for the list',
      'first pass',
      'restoring',
      'restoring',
      'dirty pages',
    ],
    ...['switchover', 'committed', 'in doubt'],
  ]);
});

test('a list that is there before QEMU is not waited for', (t) => {
  const watch = new ProgressWatch(0);
  watch.takeEvent('source', event('listed'));
  t.is(watch.at(0).phase, 'starting');
  watch.takeEvent('source', event('qemu-connected'));
  t.is(watch.at(0).phase, 'first pass');
});

test('rates and the time left are of the last seconds, and of the slower way', (t) => {
  const watch = new ProgressWatch(1000);
  watch.takeEvent('source', event('qemu-connected'));
  watch.takeJob({ remainingBytes: 100e6, dirtyBytesPerSecond: 2e6 });
  watch.takeEvent('source', event('progress', { migration_link_bytes: 0, pages_pending: 10_000 }));
  t.is(watch.at(1000).leftMs, undefined, 'nothing is known of rates yet');
  watch.takeJob({ remainingBytes: 80e6, dirtyBytesPerSecond: 2e6 });
  watch.takeEvent('source', event('progress', { migration_link_bytes: 20e6, pages_pending: 9000 }));
  watch.takeEvent('destination', event('progress', { storage_link_bytes: 4_096_000 }));
  const progress = watch.at(3000);
  t.is(progress.migrationLinkBytesPerSecond, 10e6);
  // 9000 pages at 500 a second; the link would take 8 s.
  t.is(progress.leftMs, 18_000);
  t.is(
    progressLine(progress),
    '   2.0 s  waiting for the list, 76 MiB left, 35 MiB pending from storage, link 20 MB at 10.0 MB/s, storage 4 MB at 2.0 MB/s, ' +
      'written 2.0 MB/s, about 18 s to go',
  );
  const later = watch.at(20_000);
  t.is(later.migrationLinkBytesPerSecond, 0);
  t.is(later.leftMs, undefined, 'who does not get on is not given a time');
});

test('nothing is said of what nobody has said', (t) => {
  t.is(
    progressLine(new ProgressWatch(0).at(500)),
    '   0.5 s  starting, link 0 MB at 0.0 MB/s, storage 0 MB at 0.0 MB/s',
  );
});

test('without engines there is one phase, and nothing is said of links that nobody counts', (t) => {
  const watch = new ProgressWatch(0, false);
  watch.takeJob({ remainingBytes: 3 * 2 ** 30 });
  const line = progressLine(watch.at(20_000));
  t.regex(line, /^ +20\.0 s {2}migrating, 3072 MiB left/);
  t.notRegex(line, /link|storage/);
});
