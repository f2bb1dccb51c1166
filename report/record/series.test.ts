import test from 'ava';
import type { RunEvent } from '../../record/event.ts';
import { relativeEvents } from './events.ts';
import { valueAt } from '../../record/series.ts';
import { isWantedMetric, ratePerSecond, seriesByName, smooth, thin } from './series.ts';

test('samples become series by host and metric, relative to the command', (t) => {
  const sample = (at_ms: number, host: 'client' | 'src', value: number) =>
    ({ at_ms, host, metric: 'tps', value }) as const;
  t.deepEqual(
    [
      ...seriesByName(
        [sample(994.5, 'client', 8), sample(1000, 'src', 1), sample(1994.5, 'client', 9)],
        1000,
      ),
    ],
    [
      [
        'client tps',
        [
          { tMs: -5.5, value: 8 },
          { tMs: 994.5, value: 9 },
        ],
      ],
      ['src tps', [{ tMs: 0, value: 1 }]],
    ],
  );
  t.true(isWantedMetric('tps'));
  t.false(isWantedMetric('mem_available_bytes'), 'nothing is made of it');
});

test('a counter between its samples, and not beyond them', (t) => {
  const counter = [
    { tMs: 0, value: 0 },
    { tMs: 200, value: 100 },
    { tMs: 400, value: 500 },
  ];
  t.is(valueAt(counter, 100), 50);
  t.is(valueAt(counter, 401), undefined);
  t.is(valueAt(counter, -1), undefined);
  t.deepEqual(ratePerSecond(counter, 0, 400, 200), [
    { tMs: 100, value: 500 },
    { tMs: 300, value: 2000 },
  ]);
  t.deepEqual(ratePerSecond(counter, -200, 800, 400), [], 'no interval is covered whole');
});

test('smoothing and thinning keep the ends', (t) => {
  const points = Array.from({ length: 101 }, (_, index) => ({ tMs: index * 1000, value: index % 2 }));
  t.is(thin(points, 10).at(0)?.tMs, 0);
  t.is(thin(points, 10).at(-1)?.tMs, 100_000);
  t.true(thin(points, 10).length <= 12);
  const smoothed = smooth(points, 4000);
  t.is(smoothed.length, points.length);
  t.true(smoothed.every(({ value }) => value > 0.3 && value < 0.7));
});

test('events are put on the harness’s clock, relative to the last migrate command', (t) => {
  const command = (at_ms: number): RunEvent => ({
    event: 'migrate-command',
    at_ms,
    host: 'harness',
    uri: 'tcp:x',
  });
  const recorded: RunEvent[] = [
    command(1000),
    command(2000),
    { event: 'clock-offset', at_ms: 2100, host: 'dst', offset_ms: 40, uncertainty_ms: 1 },
    { event: 'qmp', at_ms: 2540, host: 'dst', name: 'RESUME', data: {}, delay_ms: 0 },
  ];
  t.deepEqual(
    relativeEvents(recorded).events.map(({ event, tMs }) => [event, tMs]),
    [
      ['migrate-command', -1000],
      ['migrate-command', 0],
      // Its time is the harness's already.
      ['clock-offset', 100],
      ['qmp', 500],
    ],
  );
  t.deepEqual(relativeEvents(recorded.slice(2)).events, [], 'without a migration there is no zero');
});
