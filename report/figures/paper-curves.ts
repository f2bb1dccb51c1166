/** The paper's figures over time: 9 to 14, 16 and 17. */
import type { PaperScenarioName } from '../../experiments/scenarios.ts';
import type { Run } from '../record/read-set.ts';
import { valueAt, type Point } from '../../record/series.ts';
import { linkRatesOf } from '../record/run-row.ts';
import { ratePerSecond, smooth, thin } from '../record/series.ts';
import { curves } from './curves.ts';
import type { Figure, FigureContext } from './figure.ts';
import { engineLook, linkLooks, type Look } from './theme.ts';

const [migrationLook, storageLook] = linkLooks;
/** What is drawn before and after a migration, beside the migration itself. */
const marginMs = 5000;
/** Intervals of throughput: short where the migration is short, and never below what a sample a second can tell. */
const minBinMs = 1000;
const maxPoints = 200;
const pageBytes = 4096;
/** More curves of throughput than these hide each other. */
const maxShared = 4;

function endMs({ row, series }: Run): number {
  return row.total_time_ms ?? series.get('src ram_remaining_bytes')?.at(-1)?.tMs ?? 0;
}

function megabits(run: Run, metric: string): Point[] {
  // With --verify-ram, memory crosses the links after the migration, to be compared.
  const afterMs = run.manifest.configuration.verifyRam ? 0 : marginMs;
  const counter = run.series.get(metric) ?? [];
  const { nowMs } = run;
  // A run that goes on is drawn whole: its end is not known.
  const fromMs = nowMs === undefined ? -marginMs : (counter[0]?.tMs ?? 0);
  const toMs = nowMs ?? endMs(run) + afterMs;
  const spanMs = toMs - fromMs;
  const binMs = Math.max(minBinMs, Math.ceil(spanMs / maxPoints / 100) * 100);
  return ratePerSecond(counter, fromMs, toMs, binMs).map(({ tMs, value }) => ({
    tMs,
    value: (value * 8) / 1e6,
  }));
}

const nic = (number: string, scenario: PaperScenarioName): Figure => ({
  name: `figure-${number}-nic-throughput-${scenario}`,
  title: `title.nic-${scenario}`,
  paperLoads: [scenario],
  draw: (context) =>
    curves(context, {
      shows: (cell) => cell.scenario === scenario,
      curves: (run) => [
        { label: context.text('link.migration'), points: megabits(run, 'src nic_out_bytes:migration') },
        { label: context.text('link.storage'), points: megabits(run, 'dst nic_in_bytes:storage') },
      ],
      looks: [
        [context.text('link.migration'), migrationLook],
        [context.text('link.storage'), storageLook],
      ],
      axis: 'axis.throughput',
      legend: 'legend.link',
      notes: ['note.typical', 'note.counters', 'note.link-rate', 'note.begin-end'],
      rowPerEngine: true,
      levels: ({ row }) => {
        const { migration, storage } = linkRatesOf(row);
        return [migration / 1e6, storage / 1e6];
      },
      interpolate: 'linear',
      height: 130,
    }),
});

/**
 * What QEMU has still to send, less the listed pages that the source engine is yet to leave out of QEMU's stream: the
 * paper's patched QEMU takes them off at once, a filter behind QEMU as they come by. Before the list is there, and
 * without an engine, QEMU's figure.
 */
export function remainingBytes({ row, series, events }: Pick<Run, 'row' | 'series' | 'events'>): Point[] {
  const remaining = series.get('src ram_remaining_bytes') ?? [];
  const leftOut = series.get('src engine_pages_left_out') ?? [];
  const listedMs = events.find((event) => event.event === 'engine' && event.name === 'listed')?.tMs;
  const total = row.pages_left_out;
  if (total === undefined || listedMs === undefined) return [...remaining];
  return remaining.map(({ tMs, value }) => {
    if (tMs < listedMs) return { tMs, value };
    const done = valueAt(leftOut, tMs) ?? (tMs < (leftOut[0]?.tMs ?? 0) ? 0 : total);
    return { tMs, value: Math.max(0, value - (total - done) * pageBytes) };
  });
}

const remaining = (number: string, scenario: PaperScenarioName): Figure => ({
  name: `figure-${number}-remaining-memory-${scenario}`,
  title: `title.remaining-${scenario}`,
  paperLoads: [scenario],
  draw: (context) =>
    curves(context, {
      shows: (cell) => cell.scenario === scenario,
      curves: (run, { engine }) => [
        {
          label: context.engineTitle(engine),
          points: thin(remainingBytes(run), maxPoints).map(({ tMs, value }) => ({
            tMs,
            value: value / 1e6,
          })),
        },
      ],
      looks: looksOfEngines(context),
      axis: 'axis.remaining',
      legend: 'legend.engine',
      notes: ['note.typical', 'note.remaining', 'note.begin-end'],
      interpolate: 'linear',
    }),
});

const tps = (number: string, scenario: 'ro' | 'rw'): Figure => ({
  name: `figure-${number}-tps-${scenario}`,
  title: `title.tps-${scenario}`,
  paperLoads: [scenario],
  draw: (context) =>
    curves(context, {
      shows: (cell) => cell.scenario === scenario,
      curves: (run, { engine }) => {
        const label = context.engineTitle(engine);
        const seconds = run.series.get('client tps') ?? [];
        return [
          { label, points: seconds, faint: true },
          { label, points: smooth(seconds, 5000) },
        ];
      },
      looks: looksOfEngines(context),
      axis: 'axis.tps',
      legend: 'legend.engine',
      notes: ['note.typical', 'note.tps', 'note.begin-end'],
      interpolate: 'linear',
      ...(context.engines.length > maxShared
        ? { rowPerEngine: true, height: 90, axis: 'axis.tps-short' }
        : {}),
    }),
});

function looksOfEngines({ engines, engineTitle }: FigureContext): (readonly [string, Look])[] {
  return engines.map((engine) => [engineTitle(engine), engineLook(engine)]);
}

export const paperCurves: readonly Figure[] = [
  nic('09', 'idle'),
  nic('10', 'ro'),
  nic('11', 'rw'),
  remaining('12', 'idle'),
  remaining('13', 'ro'),
  remaining('14', 'rw'),
  tps('16', 'ro'),
  tps('17', 'rw'),
];
