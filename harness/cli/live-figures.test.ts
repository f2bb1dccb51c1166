import test from 'ava';
import { LiveFigures } from './live-figures.ts';

test('rates come from counters, the time left from what remains and both links', (t) => {
  const figures = new LiveFigures();
  for (const [at_ms, sent, read] of [
    [0, 1_000_000, 0],
    [200, 4_000_000, 1_000_000],
    [1000, 16_000_000, 5_000_000],
  ] as const) {
    figures.take({ at_ms, host: 'src', metric: 'nic_out_bytes:migration', value: sent });
    figures.take({ at_ms, host: 'dst', metric: 'nic_in_bytes:storage', value: read });
  }
  figures.take({ at_ms: 1000, host: 'src', metric: 'ram_remaining_bytes', value: 200_000_000 });
  figures.take({ at_ms: 1000, host: 'client', metric: 'tps', value: 8 });
  figures.take({ at_ms: 1000, host: 'src', metric: 'dirty_sync_count', value: 2 });
  t.is(
    figures.line,
    'pass 2, 200 MB remaining, migration 15.0 MB/s, storage 5.0 MB/s, 8.0 TPS, about 10 s left',
  );
});

test('what is not known yet is left out', (t) => {
  const figures = new LiveFigures();
  t.is(figures.line, '');
  figures.take({ at_ms: 0, host: 'src', metric: 'nic_out_bytes:migration', value: 5 });
  figures.take({ at_ms: 0, host: 'src', metric: 'ram_remaining_bytes', value: 3_000_000 });
  t.is(figures.line, '3 MB remaining');
});
