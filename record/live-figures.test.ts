import path from 'node:path';
import test from 'ava';
import { readEvents, readSamples } from './read-run.ts';
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

/** Estimates of a recorded run, over the time that really was left, at a quarter, half and three quarters of it. */
async function replay(run: string): Promise<number[]> {
  const folder = path.join(import.meta.dirname, '../results', run);
  const events = (await readEvents(folder)) ?? [];
  const samples = ((await readSamples(folder)) ?? []).sort((a, b) => a.at_ms - b.at_ms);
  const startMs = events.find(({ event }) => event === 'migrate-command')?.at_ms ?? NaN;
  const endMs = events.find((event) => event.event === 'qmp' && event.name === 'RESUME')?.at_ms ?? NaN;
  return [0.25, 0.5, 0.75].map((share) => {
    const nowMs = startMs + share * (endMs - startMs);
    const figures = new LiveFigures();
    const isPast = ({ at_ms: atMs }: { readonly at_ms: number }): boolean => atMs >= startMs && atMs <= nowMs;
    for (const event of events.filter(isPast)) figures.event(event);
    for (const sample of samples.filter(isPast)) figures.take(sample);
    return ((figures.secondsLeft ?? NaN) * 1000) / (endMs - nowMs);
  });
}

for (const run of [
  'reference-2026-11-26/rw-16-precopy-r1',
  'reference-2026-11-26/rw-16-restore-r1',
  'reference-2026-11-26-engines/rw-16-balance-r1',
  'reference-2026-11-26-engines/idle-16-balance-r2',
]) {
  test(`time left, at any time of a recorded run: ${run}`, async (t) => {
    const ratios = await replay(run);
    t.log(ratios.map((ratio) => ratio.toFixed(2)).join(', '));
    t.true(
      ratios.every((ratio) => ratio > 0.6 && ratio < 1.5),
      ratios.join(', '),
    );
  });
}
