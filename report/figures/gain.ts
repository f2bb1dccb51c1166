/** Gain over pre-copy by dirty rate: measured pairs, and the simulation's curve through the same guest. Pure. */
import { enginesOf } from '../record/cells.ts';
import { dirtyShareOf } from '../record/dirty-rate.ts';
import type { Run } from '../record/read-set.ts';
import { type Drawing, type FigureContext, legendFilters, legendParam, type Spec } from './figure.ts';
import { engineLook, inkColour } from './theme.ts';

interface Gain {
  readonly run: Run;
  readonly dirtyShare: number;
  readonly gain: number;
  /** Pre-copy was cancelled: it would have taken longer still. */
  readonly isAtLeast: boolean;
}

export const gainFigure = 'extra-09-gain-over-dirty-rate';

/** Of the link: runs of rates that are closer together show no more than that they differ. */
const leastSpread = 0.1;

/** Whether there is something to see: gains at different rates. */
export function showsRates(gains: readonly Pick<Gain, 'dirtyShare'>[]): boolean {
  const shares = gains.map(({ dirtyShare }) => dirtyShare);
  return shares.length > 0 && Math.max(...shares) - Math.min(...shares) >= leastSpread;
}

const timeOf = (run: Run): number | undefined => run.row.total_time_ms;

/** Each run over the pre-copy of the same set, load, memory row, links and repeat; of several VMs, over the same one's. */
export function gainsOf(runs: readonly Run[]): Gain[] {
  return runs.flatMap((run): Gain[] => {
    const ownMs = timeOf(run);
    const baseline = runs.find(
      ({ set, row }) =>
        set === run.set &&
        row.engine === 'precopy' &&
        row.scenario === run.row.scenario &&
        row.paper_row_gib === run.row.paper_row_gib &&
        row.link_bits_per_second === run.row.link_bits_per_second &&
        row.repeat === run.row.repeat &&
        row.vm === run.row.vm,
    );
    if (run.row.engine === 'precopy' || baseline === undefined || ownMs === undefined) return [];
    const isAtLeast = baseline.row.outcome === 'not-converged';
    const baselineMs = isAtLeast ? baseline.manifest.configuration.maxTimeSeconds * 1000 : timeOf(baseline);
    const dirtyShare = dirtyShareOf(baseline);
    if (baselineMs === undefined || dirtyShare === undefined) return [];
    return [{ run, dirtyShare, gain: baselineMs / ownMs, isAtLeast }];
  });
}

export function gainOverDirtyRate(context: FigureContext): Drawing {
  const { set, text, engineTitle } = context;
  const gains = gainsOf(set.runs);
  const curves = set.simulatedGains ?? [];
  const engines = enginesOf(set).filter((engine) => engine !== 'precopy');
  const kinds = { measured: text('gain.measured'), 'at-least': text('gain.at-least') } as const;
  const rows: Spec[] = [
    ...gains.map(({ run, dirtyShare, gain, isAtLeast }) => ({
      ...{ kind: 'run', name: run.name, engine: engineTitle(run.row.engine), dirtyShare, gain },
      measured: kinds[isAtLeast ? 'at-least' : 'measured'],
    })),
    ...curves.map(({ engine, dirtyShare, gain }) => ({
      ...{ kind: 'curve', engine: engineTitle(engine), dirtyShare, gain },
    })),
  ];
  const highest = Math.max(1, ...rows.map((row) => Number(row['gain'])));
  const filters = legendFilters(context, 'engine');
  const x = {
    field: 'dirtyShare',
    type: 'quantitative',
    title: text('axis.dirty-share'),
    scale: { domain: [0, Math.max(1, ...rows.map((row) => Number(row['dirtyShare'])))] },
  };
  const y = {
    field: 'gain',
    type: 'quantitative',
    title: text('axis.gain'),
    scale: {
      type: 'log',
      nice: false,
      domain: [Math.min(1, ...rows.map((row) => Number(row['gain']))) * 0.9, highest * 1.1],
    },
    axis: { values: [0.5, 0.7, 1, 1.3, 1.5, 2, 2.3, 3, 4, 5, 7, 10, 20, 50], format: '~g' },
  };
  const color = {
    field: 'engine',
    title: text('legend.engine'),
    scale: {
      domain: engines.map(engineTitle),
      range: engines.map((engine) => engineLook(engine).lineColour ?? engineLook(engine).colour),
    },
  };
  return {
    cells: context.cells,
    isEmpty: !showsRates(gains),
    notes: curves.length === 0 ? ['note.gain'] : ['note.gain', 'note.gain-curve'],
    body: {
      data: { values: rows },
      width: 560,
      height: 320,
      layer: [
        { mark: { type: 'rule', color: inkColour, strokeDash: [5, 3] }, encoding: { y: { datum: 1 } } },
        {
          transform: [{ filter: "datum.kind === 'curve'" }, ...filters],
          mark: { type: 'line', strokeWidth: 1.5 },
          encoding: { x, y, color },
        },
        {
          params: legendParam(context, 'engine'),
          transform: [{ filter: "datum.kind === 'run'" }, ...filters],
          mark: { type: 'point', filled: true, size: 60, stroke: inkColour, strokeWidth: 0.5, opacity: 1 },
          encoding: {
            ...{ x, y, color },
            shape: {
              field: 'measured',
              title: null,
              scale: { domain: Object.values(kinds), range: ['circle', 'triangle-up'] },
              // One that all have needs no legend.
              ...(gains.some(({ isAtLeast }) => isAtLeast) ? {} : { legend: null }),
            },
            tooltip: [
              { field: 'name', title: text('run.name') },
              { field: 'engine', title: text('legend.engine') },
              { field: 'dirtyShare', title: text('axis.dirty-share'), format: '.2f' },
              { field: 'gain', title: text('axis.gain'), format: '.2f' },
            ],
          },
        },
      ],
    },
  };
}
