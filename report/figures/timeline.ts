/** The phases of one run: that of the most interesting cell that there is. Pure. */
import { cellsOf, typicalRun } from '../record/cells.ts';
import { phaseNames, phasesOf } from '../record/phases.ts';
import type { Run } from '../record/read-set.ts';
import type { Drawing, FigureContext } from './figure.ts';
import { inkColour, rampColours } from './theme.ts';

/** With our engine rather than without, under writes rather than idle, large rather than small. */
export function runOfTimeline(context: Pick<FigureContext, 'set'>): Run | undefined {
  const load = ['idle', 'ro', 'rw'];
  const weight = ({ row }: Run): number =>
    (row.pages_listed === undefined ? 0 : 1000) + 100 * load.indexOf(row.scenario) + row.mem_gib;
  return cellsOf(context.set)
    .flatMap((cell) => typicalRun(cell) ?? [])
    .reduce<Run | undefined>(
      (best, run) => (best === undefined || weight(run) > weight(best) ? run : best),
      undefined,
    );
}

export function timeline(context: FigureContext): Drawing {
  const { text } = context;
  const run = runOfTimeline(context);
  const rows = (run === undefined ? [] : phasesOf(run)).map(({ phase, fromMs, toMs }) => ({
    phase: text(`timeline.${phase}`),
    from: fromMs / 1000,
    to: toMs / 1000,
    label: `${((toMs - fromMs) / 1000).toFixed(2)} s`,
  }));
  const titles = phaseNames.map((phase) => text(`timeline.${phase}`));
  const encoding = {
    y: { field: 'phase', type: 'nominal', sort: titles, title: null, axis: { labelLimit: 260 } },
    x: { field: 'from', type: 'quantitative', title: text('axis.time') },
    x2: { field: 'to' },
  };
  return {
    cells: [],
    runs: run === undefined ? [] : [run],
    notes: ['note.timeline'],
    body: {
      data: { values: rows },
      width: 640,
      height: { step: 26 },
      layer: [
        {
          params: [{ name: 'zoom', select: { type: 'interval', encodings: ['x'] }, bind: 'scales' }],
          mark: {
            type: 'bar',
            color: rampColours[1],
            stroke: inkColour,
            strokeWidth: 0.5,
            height: { band: 0.65 },
            clip: true,
            minBandSize: 1,
          },
          encoding: {
            ...encoding,
            tooltip: [
              { field: 'phase', title: text('legend.phase') },
              { field: 'from', format: '.2f' },
              { field: 'to', format: '.2f' },
              { field: 'label' },
            ],
          },
        },
        {
          mark: { type: 'text', align: 'left', dx: 5, fontSize: 10, color: inkColour, clip: true },
          encoding: {
            y: encoding.y,
            x: { field: 'to', type: 'quantitative', title: text('axis.time') },
            text: { field: 'label' },
          },
        },
      ],
    },
  };
}
