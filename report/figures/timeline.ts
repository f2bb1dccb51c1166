/** The phases of one run of each engine, in the most interesting row that there is. Pure. */
import { seconds } from '../../foundation/quantity.ts';
import { paperRowsGib } from '../../experiments/paper-rows.ts';
import { typicalRun } from '../record/cells.ts';
import { scenarioNames } from '../../experiments/scenarios.ts';
import { phaseNames, phasesOf } from '../record/phases.ts';
import type { Run } from '../record/read-set.ts';
import { axisOfNothing, type Drawing, type FigureContext } from './figure.ts';
import { inkColour, rampColours } from './theme.ts';

/** Of the row with most engines; under writes rather than idle, large rather than small. */
function runsOfTimeline({ cells }: Pick<FigureContext, 'cells'>): Run[] {
  const runsOf = (scenario: string, paperRowGib: number): Run[] =>
    cells
      .filter((cell) => cell.scenario === scenario && cell.paperRowGib === paperRowGib)
      .flatMap((cell) => typicalRun(cell) ?? []);
  return scenarioNames
    .flatMap((scenario) => paperRowsGib.map((paperRowGib) => runsOf(scenario, paperRowGib)))
    .reduce((best, runs) => (runs.length >= best.length ? runs : best), []);
}

export function timeline(context: FigureContext): Drawing {
  const { text } = context;
  const runs = runsOfTimeline(context);
  const timelines = runs.map((run) => ({
    engine: context.engineTitle(run.row.engine),
    phases: phasesOf(run).map(({ phase, fromMs, toMs }) => ({
      phase: text(`timeline.${phase}`),
      from: fromMs / 1000,
      to: toMs / 1000,
      label: seconds(toMs - fromMs, 2),
    })),
  }));
  const titles = phaseNames.map((phase) => text(`timeline.${phase}`));
  const ends = timelines.flatMap(({ phases }) => phases.map(({ to }) => to));
  const x = {
    type: 'quantitative',
    title: text('axis.time'),
    // Room for the label of the longest.
    ...(axisOfNothing(ends) ?? { scale: { domain: [0, Math.max(...ends) * 1.08], nice: false } }),
  };
  const y = { field: 'phase', type: 'nominal', sort: titles, title: null, axis: { labelLimit: 260 } };
  return {
    cells: [],
    runs,
    notes: ['note.timeline'],
    body: {
      spacing: 8,
      vconcat: timelines.map(({ engine, phases }, index) => ({
        title: { text: engine, fontSize: 11, fontWeight: 'normal', anchor: 'start', offset: 4 },
        data: { values: phases },
        width: 640,
        height: { step: 20 },
        layer: [
          {
            params: [
              { name: `zoom${index}`, select: { type: 'interval', encodings: ['x'] }, bind: 'scales' },
            ],
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
              y,
              x: { field: 'from', ...x, title: index === timelines.length - 1 ? x.title : null },
              x2: { field: 'to' },
              tooltip: [
                { field: 'phase', title: text('legend.phase') },
                { field: 'from', title: text('span.from'), format: '.2f' },
                { field: 'to', title: text('span.to'), format: '.2f' },
                { field: 'label', title: text('span.length') },
              ],
            },
          },
          {
            mark: { type: 'text', align: 'left', dx: 5, fontSize: 10, color: inkColour, clip: true },
            encoding: {
              y,
              x: { field: 'to', ...x, title: index === timelines.length - 1 ? x.title : null },
              text: { field: 'label' },
            },
          },
        ],
      })),
    },
  };
}
