/** What a load that comes at a rate has to wait for: its queue over time, of the load that writes most. Pure. */
import type { Cell } from '../record/cells.ts';
import { thin } from '../record/series.ts';
import { curves } from './curves.ts';
import type { Drawing, FigureContext } from './figure.ts';
import { engineLook } from './theme.ts';

const maxPoints = 300;
const loads = ['rw', 'tpcc', 'ro'] as const;

const queueOf = ({ runs }: Cell) => runs.some(({ series }) => series.has('client queued_transactions'));

export function queued(context: FigureContext): Drawing {
  const load = loads.find((name) => context.cells.some((cell) => cell.scenario === name && queueOf(cell)));
  return curves(context, {
    shows: (cell) => cell.scenario === load,
    curves: (run, { engine }) => [
      {
        label: context.engineTitle(engine),
        points: thin(run.series.get('client queued_transactions') ?? [], maxPoints),
      },
    ],
    looks: context.engines.map((engine) => [context.engineTitle(engine), engineLook(engine)]),
    axis: 'axis.queued',
    legend: 'legend.engine',
    notes: ['note.typical', 'note.queued', 'note.begin-end'],
    interpolate: 'linear',
  });
}
